/*
 * Toasts: short notes at the window's foot, some with one thing to do ("Undo"). They go by
 * themselves, but not while somebody points at them or has the focus in them.
 */
import { useEffect, useRef } from 'preact/hooks';
import { Icon } from './icons';
import { Store, useStore } from './store';

export interface ToastAction {
  label: string;
  run: () => void;
  /* What it undoes; of one thing only the newest can be undone. */
  of: string;
}

interface Toast {
  id: number;
  text: string;
  kind: 'note' | 'trouble';
  action?: ToastAction;
}

const NOTE_MS = 5000;
const ACTION_MS = 12000;
const AT_MOST = 3;

const toasts = new Store<Toast[]>([]);
let lastId = 0;

export function toast(text: string, action?: ToastAction, kind: Toast['kind'] = 'note'): void {
  const others = toasts
    .get()
    .filter((each) => each.text !== text && (!action || each.action?.of !== action.of));
  toasts.set([...others, { id: ++lastId, text, kind, action }].slice(-AT_MOST));
}

export function troubleToast(text: string, action?: ToastAction): void {
  toast(text, action, 'trouble');
}

function drop(id: number): void {
  toasts.set(toasts.get().filter((each) => each.id !== id));
}

function ToastNote({ note }: { note: Toast }) {
  const timer = useRef(0);
  const start = () => {
    window.clearTimeout(timer.current);
    timer.current = window.setTimeout(() => drop(note.id), note.action ? ACTION_MS : NOTE_MS);
  };
  const stop = () => window.clearTimeout(timer.current);
  useEffect(() => {
    start();
    return stop;
  }, [note.id]);
  return (
    <li
      class={`toast ${note.kind}`}
      onMouseEnter={stop}
      onMouseLeave={start}
      onFocusIn={stop}
      onFocusOut={start}
    >
      <span>{note.text}</span>
      {note.action && (
        <button
          type="button"
          class="toast-action"
          onClick={() => {
            drop(note.id);
            note.action!.run();
          }}
        >
          {note.action.label}
        </button>
      )}
      <button type="button" class="toast-close" aria-label="Dismiss" onClick={() => drop(note.id)}>
        <Icon name="close" />
      </button>
    </li>
  );
}

/* A popover, so that it stays above dialogs, which are in the browser's top layer too. */
export function Toasts() {
  const list = useStore(toasts);
  const element = useRef<HTMLDivElement>(null);
  const count = list.length;
  useEffect(() => {
    const box = element.current;
    if (!box?.showPopover) return;
    if (box.matches(':popover-open')) box.hidePopover();
    if (count) box.showPopover();
  }, [list]);
  return (
    <div ref={element} class="toasts" popover="manual" role="status" aria-label="Notifications">
      <ul>
        {list.map((note) => (
          <ToastNote key={note.id} note={note} />
        ))}
      </ul>
    </div>
  );
}
