/*
 * Buttons. One that may not be used now stays where it is and says why: it can still be reached by
 * keyboard, so that the reason is heard as well as seen.
 */
import type { ButtonHTMLAttributes, ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';
import { Icon, type IconName } from './icons';
import { toast } from './toast';

type Attributes = Pick<
  ButtonHTMLAttributes<HTMLButtonElement>,
  'class' | 'disabled' | 'aria-pressed'
> & { 'data-autofocus'?: boolean };

interface ButtonProps extends Attributes {
  kind?: 'primary' | 'danger' | 'quiet';
  icon?: IconName;
  /* The whole name, where the text is an icon or not enough by itself. */
  label?: string;
  /* Why it may not be used now. */
  why?: string | null;
  type?: 'button' | 'submit';
  onClick?: (event: MouseEvent) => void;
  children?: ComponentChildren;
}

export function Button(props: ButtonProps) {
  const { kind, icon, label, why, children, onClick, type = 'button', ...rest } = props;
  const id = useId();
  const bare = !children;
  const press = (event: MouseEvent) => {
    if (!why) return onClick?.(event);
    event.preventDefault();
    toast(why);
  };
  return (
    <>
      <button
        {...rest}
        type={type}
        class={`button ${kind ?? ''} ${bare ? 'bare' : ''} ${rest.class ?? ''}`}
        aria-label={label}
        aria-disabled={why ? 'true' : undefined}
        aria-describedby={why ? id : undefined}
        title={why || (bare ? label : undefined)}
        onClick={press}
      >
        {icon && <Icon name={icon} />}
        {children && <span>{children}</span>}
      </button>
      {why && (
        <span id={id} hidden>
          {why}
        </span>
      )}
    </>
  );
}
