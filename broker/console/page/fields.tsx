/* Fields of forms: a label, the control, what it means, and what is wrong with it, next to it. */
import type { ComponentChildren } from 'preact';
import { useId, useState } from 'preact/hooks';
import { Button } from './button';

interface FieldProps {
  label: string;
  name: string;
  value: string;
  onInput: (value: string) => void;
  hint?: ComponentChildren;
  error?: string;
  placeholder?: string;
  required?: boolean;
  autofocus?: boolean;
  disabled?: boolean;
}

interface FrameProps {
  id: string;
  label: string;
  hint?: ComponentChildren;
  error?: string;
  required?: boolean;
  children: ComponentChildren;
}

function Frame({ id, label, hint, error, required, children }: FrameProps) {
  return (
    <div class={`field ${error ? 'has-error' : ''}`}>
      <label for={id}>
        {label}
        {required && <span class="faint"> (required)</span>}
      </label>
      {children}
      {error && (
        <p id={`${id}-error`} class="trouble">
          {error}
        </p>
      )}
      {hint && (
        <p id={`${id}-hint`} class="hint">
          {hint}
        </p>
      )}
    </div>
  );
}

/* What every control has of its field. */
function described(id: string, props: { hint?: ComponentChildren; error?: string }) {
  const ids = [props.error && `${id}-error`, props.hint && `${id}-hint`].filter(Boolean);
  return {
    id,
    'aria-invalid': props.error ? true : undefined,
    'aria-describedby': ids.length ? ids.join(' ') : undefined,
  };
}

interface Typed {
  currentTarget: { value: string };
}

/* What every control that is typed into has. Nothing here is a word to complete or correct. */
function typed(id: string, props: FieldProps) {
  return {
    ...described(id, props),
    name: props.name,
    value: props.value,
    placeholder: props.placeholder,
    autocomplete: 'off',
    autocapitalize: 'off',
    spellcheck: false,
    'data-autofocus': props.autofocus ? '' : undefined,
    onInput: (event: Typed) => props.onInput(event.currentTarget.value),
  } as const;
}

export function TextField(props: FieldProps & { type?: string; min?: number; max?: number }) {
  const id = useId();
  return (
    <Frame id={id} {...props}>
      <input
        type={(props.type ?? 'text') as 'text'}
        min={props.min}
        max={props.max}
        {...typed(id, props)}
        disabled={props.disabled}
      />
    </Frame>
  );
}

/* A secret: hidden unless asked for, and never offered to a password store. */
export function SecretField(props: FieldProps) {
  const id = useId();
  const [shown, setShown] = useState(false);
  return (
    <Frame id={id} {...props}>
      <span class="with-button">
        <input
          type={(shown ? 'text' : 'password') as 'text'}
          {...typed(id, props)}
          autocomplete="new-password"
        />
        <Button
          icon="eye"
          label={shown ? `Hide ${props.label}` : `Show ${props.label}`}
          aria-pressed={shown}
          onClick={() => setShown(!shown)}
        />
      </span>
    </Frame>
  );
}

export function AreaField(props: FieldProps & { rows?: number; code?: boolean }) {
  const id = useId();
  return (
    <Frame id={id} {...props}>
      <textarea
        {...typed(id, props)}
        class={props.code ? 'code' : ''}
        rows={props.rows ?? 3}
      />
    </Frame>
  );
}

export interface Choice {
  value: string;
  label: string;
}

export function SelectField(props: FieldProps & { choices: Choice[] }) {
  const id = useId();
  return (
    <Frame id={id} {...props}>
      <select
        {...described(id, props)}
        name={props.name}
        value={props.value}
        disabled={props.disabled}
        data-autofocus={props.autofocus ? '' : undefined}
        onChange={(event) => props.onInput(event.currentTarget.value)}
      >
        {props.choices.map((choice) => (
          <option key={choice.value} value={choice.value} selected={choice.value === props.value}>
            {choice.label}
          </option>
        ))}
      </select>
    </Frame>
  );
}
