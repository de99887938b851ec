/*
 * When a key expires: never, at a date and time in this machine's zone, or after a while ("+2w").
 * What is meant is shown in full while it is typed.
 */
import { useId } from 'preact/hooks';
import type { Form } from './form';
import { afterWhile, exact, fromInput, serverNow, toInput, utc } from './time';

export interface Expiry {
  when: 'never' | 'at' | 'after';
  local: string; /* as <input type="datetime-local"> has it */
  after: string;
}

const MONTH_MS = 30 * 24 * 3600 * 1000;

export function expiryOf(time: number | null): Expiry {
  return {
    when: time === null ? 'never' : 'at',
    local: toInput(time ?? serverNow() + MONTH_MS),
    after: '+30d',
  };
}

function timeOf(expiry: Expiry): number | null {
  if (expiry.when === 'after') return afterWhile(expiry.after, serverNow());
  const at = fromInput(expiry.local);
  return at ? Date.parse(at) : null;
}

/* As the broker's words have it; null where it is no time. */
export function expiryWord(expiry: Expiry): string | null {
  if (expiry.when === 'never') return 'never';
  const time = timeOf(expiry);
  return time ? new Date(time).toISOString().replace('.000Z', 'Z') : null;
}

export function checkExpiry(expiry: Expiry, form: Form): void {
  if (!expiryWord(expiry))
    form.reject('expires', 'A date and a time, a while such as +30d, +2w or +1y, or never.');
}

export function sameExpiry(one: Expiry, other: Expiry): boolean {
  return one.when === other.when && (one.when === 'never' || expiryWord(one) === expiryWord(other));
}

interface ExpiryFieldProps {
  value: Expiry;
  onChange: (value: Expiry) => void;
  error?: string;
}

export function ExpiryField({ value, onChange, error }: ExpiryFieldProps) {
  const id = useId();
  const time = value.when === 'never' ? null : timeOf(value);
  const choice = (when: Expiry['when'], label: string) => (
    <label class="choice">
      <input
        type="radio"
        name={`${id}-when`}
        checked={value.when === when}
        onChange={() => onChange({ ...value, when })}
      />
      {label}
    </label>
  );
  const described = {
    name: 'expires',
    'aria-invalid': error ? true : undefined,
    'aria-describedby': error ? `${id}-error` : undefined,
  };
  return (
    <fieldset class={`field expiry-field ${error ? 'has-error' : ''}`}>
      <legend>Expires</legend>
      {choice('never', 'Never')}
      {choice('at', 'At a date and time')}
      {choice('after', 'After a while')}
      {value.when === 'at' && (
        <input
          type="datetime-local"
          step="1"
          aria-label="Date and time of expiry"
          {...described}
          value={value.local}
          onInput={(event) => onChange({ ...value, local: event.currentTarget.value })}
        />
      )}
      {value.when === 'after' && (
        <input
          type="text"
          aria-label="Time until it expires"
          placeholder="+30d, +2w, +1y"
          autocomplete="off"
          {...described}
          value={value.after}
          onInput={(event) => onChange({ ...value, after: event.currentTarget.value })}
        />
      )}
      {error && (
        <p id={`${id}-error`} class="trouble">
          {error}
        </p>
      )}
      {time !== null && (
        <p class="hint" data-understood>
          {exact(time)}
          {new Date(time).getTimezoneOffset() !== 0 && ` (${utc(time)})`}
        </p>
      )}
    </fieldset>
  );
}
