/*
 * A key's settings beyond its vendor's fields, as a list of names and values. What is not touched
 * stays as it is in the broker, also where it is shown masked; a removed one is taken away.
 */
import { useId } from 'preact/hooks';
import { Button } from './button';
import type { Config } from './types';

export interface Setting {
  name: string;
  value: string;
  was: unknown; /* undefined = new */
  touched: boolean;
}

const textOf = (value: unknown): string =>
  typeof value === 'string' ? value : JSON.stringify(value);

export function settingsOf(config: Config, known: string[]): Setting[] {
  return Object.entries(config)
    .filter(([name]) => !known.includes(name))
    .map(([name, value]) => ({ name, value: textOf(value), was: value, touched: false }));
}

/* Text stays text. What was a number, a list … before, or begins as JSON does, is read as JSON. */
function valueOf(setting: Setting): unknown {
  const wasText = setting.was === undefined || typeof setting.was === 'string';
  if (wasText && !/^\s*[[{]/.test(setting.value)) return setting.value;
  try {
    return JSON.parse(setting.value);
  } catch {
    return setting.value;
  }
}

/* What differs from the config that the list was made of, as a merge patch. */
export function settingsPatch(settings: Setting[], config: Config, known: string[]): Config {
  const patch: Config = {};
  const names = new Set(settings.map((setting) => setting.name.trim()));
  for (const name of Object.keys(config))
    if (!known.includes(name) && !names.has(name)) patch[name] = null;
  for (const setting of settings) {
    const name = setting.name.trim();
    if (name && setting.touched) patch[name] = valueOf(setting);
  }
  return patch;
}

interface SettingsListProps {
  settings: Setting[];
  onChange: (settings: Setting[]) => void;
  errors: Record<string, string>;
}

export function SettingsList({ settings, onChange, errors }: SettingsListProps) {
  const id = useId();
  const change = (index: number, part: Partial<Setting>) =>
    onChange(
      settings.map((each, at) => (at === index ? { ...each, ...part, touched: true } : each)),
    );
  return (
    <fieldset class="settings-list" aria-describedby={id}>
      <legend>Other settings</legend>
      {settings.map((setting, index) => (
        <div class="setting" key={index}>
          <input
            aria-label={`Name of setting ${index + 1}`}
            placeholder="name"
            value={setting.name}
            disabled={setting.was !== undefined}
            spellcheck={false}
            autocapitalize="off"
            onInput={(event) => change(index, { name: event.currentTarget.value })}
          />
          <input
            aria-label={`Value of ${setting.name || `setting ${index + 1}`}`}
            name={setting.name || undefined}
            placeholder="value"
            value={setting.value}
            spellcheck={false}
            autocomplete="off"
            autocapitalize="off"
            aria-invalid={errors[setting.name] ? true : undefined}
            onInput={(event) => change(index, { value: event.currentTarget.value })}
          />
          <Button
            kind="quiet"
            icon="close"
            label={`Remove ${setting.name || `setting ${index + 1}`}`}
            onClick={() => onChange(settings.filter((_, at) => at !== index))}
          />
          {errors[setting.name] && <p class="trouble">{errors[setting.name]}</p>}
        </div>
      ))}
      <Button
        icon="plus"
        onClick={() =>
          onChange([...settings, { name: '', value: '', was: undefined, touched: true }])
        }
      >
        Add setting
      </Button>
      <p id={id} class="hint">
        Travels with the key to the workers, for whatever else a request needs.
      </p>
    </fieldset>
  );
}
