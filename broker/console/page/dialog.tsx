/*
 * Dialogs: the browser's own <dialog>, which keeps the focus inside and closes by Escape. One is
 * open exactly as long as it is drawn. The focus goes back to where it was.
 */
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useLayoutEffect, useRef } from 'preact/hooks';
import { Button } from './button';

interface DialogProps {
  title: string;
  kind?: 'form' | 'drawer' | 'small';
  /* Ask before what was typed is thrown away. */
  unsaved?: () => boolean;
  onClose: () => void;
  children: ComponentChildren;
}

export function Dialog({ title, kind = 'form', unsaved, onClose, children }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  const close = () => {
    if (unsaved?.() && !window.confirm('Throw away what you have entered?')) return;
    onClose();
  };
  useLayoutEffect(() => {
    const before = document.activeElement;
    const dialog = element.current!;
    dialog.showModal();
    dialog.querySelector<HTMLElement>('[data-autofocus]')?.focus();
    return () => {
      dialog.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  useEffect(() => {
    const dialog = element.current!;
    const cancel = (event: Event) => {
      event.preventDefault();
      close();
    };
    dialog.addEventListener('cancel', cancel);
    return () => dialog.removeEventListener('cancel', cancel);
  });
  /* A press on the backdrop closes what holds nothing typed. */
  const backdrop = (event: MouseEvent) => {
    if (event.target === element.current && kind === 'drawer') close();
  };
  return (
    <dialog ref={element} class={`dialog ${kind}`} aria-labelledby={id} onMouseDown={backdrop}>
      <header class="dialog-head">
        <h2 id={id}>{title}</h2>
        <Button kind="quiet" icon="close" label="Close" onClick={close} />
      </header>
      {children}
    </dialog>
  );
}

export function DialogFoot({ children }: { children: ComponentChildren }) {
  return <footer class="dialog-foot">{children}</footer>;
}

interface ConfirmProps {
  title: string;
  verb: string;
  trouble?: string;
  busy?: boolean;
  why?: string | null;
  onConfirm: () => void;
  onClose: () => void;
  children: ComponentChildren;
}

/* Asks before what can't be undone. */
export function Confirm(props: ConfirmProps) {
  return (
    <Dialog title={props.title} kind="small" onClose={props.onClose}>
      <div class="dialog-body">
        {props.children}
        {props.trouble && (
          <p class="trouble" role="alert">
            {props.trouble}
          </p>
        )}
      </div>
      <DialogFoot>
        <Button onClick={props.onClose} data-autofocus>
          Cancel
        </Button>
        <Button kind="danger" why={props.why} disabled={props.busy} onClick={props.onConfirm}>
          {props.verb}
        </Button>
      </DialogFoot>
    </Dialog>
  );
}
