/*
 * What every form of the page does: send once, show the broker's refusal next to the field that it
 * names, or at the top where it names none that is shown.
 */
import { useRef, useState } from 'preact/hooks';
import { messageOf, Refusal } from './api';

export interface Form {
  errors: Record<string, string>;
  general: string;
  busy: boolean;
  /* Something that the form finds wrong by itself. */
  reject: (field: string, message: string) => void;
  say: (message: string) => void;
  submit: (event: Event, send: () => Promise<void>) => void;
}

/* The broker's words for a field and the form's. */
const FIELD_NAMES: Record<string, string> = {
  expires_at: 'expires',
  POOL: 'name',
  keys: 'lines',
  'exceeded-recovery': 'exceeded_recovery',
  'error-recovery': 'error_recovery',
};

function focusFirstError(form: HTMLFormElement): void {
  requestAnimationFrame(() => form.querySelector<HTMLElement>('[aria-invalid=true]')?.focus());
}

export function useForm(): Form {
  const [errors, setErrors] = useState<Record<string, string>>({});
  const [general, setGeneral] = useState('');
  const [busy, setBusy] = useState(false);
  const form = useRef<HTMLFormElement | null>(null);

  const refuse = (error: unknown) => {
    const asked = error instanceof Refusal ? error.field : '';
    const field = FIELD_NAMES[asked] ?? asked;
    const shown = field && form.current?.elements.namedItem(field);
    if (shown) setErrors({ [field]: messageOf(error) });
    else setGeneral(messageOf(error));
    if (form.current) focusFirstError(form.current);
  };

  const submit = (event: Event, send: () => Promise<void>) => {
    event.preventDefault();
    form.current = event.currentTarget as HTMLFormElement;
    if (busy) return;
    setErrors({});
    setGeneral('');
    setBusy(true);
    send()
      .catch(refuse)
      .finally(() => setBusy(false));
  };

  const reject = (field: string, message: string) => {
    throw new Refusal(400, 'form', message, field);
  };
  return { errors, general, busy, reject, say: setGeneral, submit };
}
