/* When a key expires: never, or at a date and time in this machine's zone. */
import { useId } from 'preact/hooks';
import { fromInput, utc } from './time';

export interface Expiry {
  never: boolean;
  local: string; /* as <input type="datetime-local"> has it */
}

/* As the broker's words have it. */
export function expiryWord(expiry: Expiry): string | null {
  return expiry.never ? 'never' : fromInput(expiry.local);
}

interface ExpiryFieldProps {
  value: Expiry;
  onChange: (value: Expiry) => void;
  error?: string;
}

export function ExpiryField({ value, onChange, error }: ExpiryFieldProps) {
  const id = useId();
  const time = fromInput(value.local);
  return (
    <fieldset class={`field expiry-field ${error ? 'has-error' : ''}`}>
      <legend>Expires</legend>
      <label class="choice">
        <input
          type="radio"
          name={`${id}-when`}
          checked={value.never}
          onChange={() => onChange({ ...value, never: true })}
        />
        Never
      </label>
      <label class="choice">
        <input
          type="radio"
          name={`${id}-when`}
          checked={!value.never}
          onChange={() => onChange({ ...value, never: false })}
        />
        At a date and time
      </label>
      <input
        type="datetime-local"
        name="expires"
        aria-label="Date and time of expiry"
        aria-invalid={error ? true : undefined}
        aria-describedby={error ? `${id}-error` : undefined}
        value={value.local}
        disabled={value.never}
        onInput={(event) => onChange({ never: false, local: event.currentTarget.value })}
      />
      {error && (
        <p id={`${id}-error`} class="trouble">
          {error}
        </p>
      )}
      {!value.never && time && <p class="hint">{utc(Date.parse(time))}</p>}
    </fieldset>
  );
}
