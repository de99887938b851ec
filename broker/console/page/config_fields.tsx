/*
 * The fields of a key's configuration, as its vendor has them: the secret, the base URL, what else
 * the vendor needs. In an edit a secret that is left empty stays what it is.
 */
import { SecretField, TextField } from './fields';
import type { Config, Vendor, VendorField } from './types';

/* The values as typed, by field name; an absent one was not touched. */
export type Typed = Record<string, string>;

interface ConfigFieldsProps {
  vendor: Vendor;
  poolUrl: string | null; /* the pool's own base URL */
  config: Config; /* masked; {} for a new key */
  typed: Typed;
  onType: (typed: Typed) => void;
  errors: Record<string, string>;
  autofocus?: boolean;
}

export function fieldNames(vendor: Vendor): string[] {
  return (vendor.fields ?? []).map((field) => field.name);
}

/* What was typed as a merge patch: an emptied field is taken away, an empty secret is left alone. */
export function typedPatch(vendor: Vendor, typed: Typed, config: Config): Config {
  const patch: Config = {};
  for (const field of vendor.fields ?? []) {
    const text = typed[field.name]?.trim();
    if (text) patch[field.name] = text;
    else if (text === '' && !field.secret && field.name in config) patch[field.name] = null;
  }
  return patch;
}

function hintFor(field: VendorField, vendor: Vendor, edits: boolean) {
  if (field.secret && edits) return 'Leave it empty to keep the one that is there.';
  if (field.name === 'base_url' && vendor.base_url_form)
    return `For example ${vendor.base_url_form}`;
  return undefined;
}

export function ConfigFields(props: ConfigFieldsProps) {
  const { vendor, config, typed, onType, errors, poolUrl } = props;
  const edits = 'api_key' in config;
  return (
    <>
      {(vendor.fields ?? []).map((field) => {
        const given = config[field.name];
        const shown = typeof given === 'string' ? given : '';
        const isUrl = field.name === 'base_url';
        const common = {
          label: field.title,
          name: field.name,
          required: field.required && !(field.secret && edits) && !(isUrl && poolUrl),
          error: errors[field.name],
          hint: hintFor(field, vendor, edits),
          onInput: (value: string) => onType({ ...typed, [field.name]: value }),
        };
        if (field.secret)
          return (
            <SecretField
              key={field.name}
              {...common}
              value={typed[field.name] ?? ''}
              placeholder={shown || undefined}
              autofocus={props.autofocus && field.name === 'api_key'}
            />
          );
        return (
          <TextField
            key={field.name}
            {...common}
            value={typed[field.name] ?? shown}
            placeholder={isUrl ? (poolUrl ?? vendor.base_url ?? undefined) : undefined}
          />
        );
      })}
    </>
  );
}
