/*
 * A menu behind a button: arrows, Home, End, Escape. Drawn as a popover, so that no edge of a table
 * cuts it off. An item that may not be used says why.
 */
import type { ComponentChildren } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { Icon, type IconName } from './icons';
import { toast } from './toast';

export interface MenuItem {
  label: string;
  run: () => void;
  why?: string | null;
  danger?: boolean;
  /* Begins a group: a line above. */
  apart?: boolean;
}

interface MenuProps {
  label: string;
  icon?: IconName;
  items: () => MenuItem[]; /* asked when it opens */
  children?: ComponentChildren;
}

function place(menu: HTMLElement, button: HTMLElement): void {
  const box = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const below = box.bottom + height + 12 <= innerHeight || box.top < height + 12;
  menu.style.top = `${below ? box.bottom + 4 : box.top - height - 4}px`;
  menu.style.left = `${Math.max(8, Math.min(box.right - width, innerWidth - width - 8))}px`;
}

function MenuList({
  items,
  button,
  onClose,
}: {
  items: MenuItem[];
  button: HTMLElement;
  onClose: (refocus: boolean) => void;
}) {
  const element = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const menu = element.current!;
    menu.showPopover?.();
    place(menu, button);
    menu.querySelector<HTMLElement>('[role=menuitem]')?.focus({ preventScroll: true });
  }, []);
  useEffect(() => {
    const outside = (event: Event) => {
      const at = event.target as Node;
      if (!element.current?.contains(at) && !button.contains(at)) onClose(false);
    };
    const away = () => onClose(false);
    document.addEventListener('pointerdown', outside, true);
    window.addEventListener('scroll', away, { passive: true });
    window.addEventListener('resize', away);
    return () => {
      document.removeEventListener('pointerdown', outside, true);
      window.removeEventListener('scroll', away);
      window.removeEventListener('resize', away);
    };
  });
  const move = (event: KeyboardEvent) => {
    const rows = [...element.current!.querySelectorAll<HTMLElement>('[role=menuitem]')];
    const at = rows.indexOf(document.activeElement as HTMLElement);
    const to: Record<string, number> = {
      ArrowDown: (at + 1) % rows.length,
      ArrowUp: (at + rows.length - 1) % rows.length,
      Home: 0,
      End: rows.length - 1,
    };
    if (event.key in to) rows[to[event.key]].focus();
    else if (event.key === 'Escape' || event.key === 'Tab') onClose(true);
    else return;
    if (event.key !== 'Tab') event.preventDefault();
    event.stopPropagation();
  };
  const choose = (item: MenuItem) => {
    onClose(true);
    if (item.why) toast(item.why);
    else item.run();
  };
  return (
    <div ref={element} class="menu" role="menu" popover="manual" onKeyDown={move}>
      {items.map((item) => (
        <button
          key={item.label}
          type="button"
          role="menuitem"
          tabIndex={-1}
          class={`${item.danger ? 'danger' : ''} ${item.apart ? 'apart' : ''}`}
          aria-disabled={item.why ? 'true' : undefined}
          title={item.why ?? undefined}
          onClick={() => choose(item)}
        >
          {item.label}
        </button>
      ))}
    </div>
  );
}

export function Menu({ label, icon = 'more', items, children }: MenuProps) {
  const [open, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const close = (refocus: boolean) => {
    setOpen(false);
    if (refocus) button.current?.focus({ preventScroll: true });
  };
  return (
    <>
      <button
        ref={button}
        type="button"
        class={`button quiet ${children ? '' : 'bare'}`}
        aria-label={label}
        aria-haspopup="menu"
        aria-expanded={open}
        title={label}
        onClick={() => setOpen(!open)}
        onKeyDown={(event) => {
          if (event.key !== 'ArrowDown' || open) return;
          event.preventDefault();
          setOpen(true);
        }}
      >
        <Icon name={icon} />
        {children && <span>{children}</span>}
      </button>
      {open && <MenuList items={items()} button={button.current!} onClose={close} />}
    </>
  );
}
