/* One column's heading in a table's head row; the class places it, as it does the column's cells. */
import type { ComponentChildren } from 'preact';

export function HeadCell({ of, children }: { of: string; children: ComponentChildren }) {
  return (
    <span class={`cell ${of}`} role="columnheader">
      {children}
    </span>
  );
}
