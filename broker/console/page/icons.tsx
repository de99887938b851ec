/* The icons: 16 × 16, drawn in the text's colour, never alone where they mean something. */
import type { ComponentChildren } from 'preact';

const SHAPES = {
  normal: 'M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13M5 8.2l2.1 2.1L11.2 6',
  cooling: 'M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13M8 4.5V8l2.3 1.6',
  exceeded: 'M8 2 1.5 13.5h13ZM8 6.4v3.4M8 11.7v.1',
  error: 'M5.3 1.5h5.4l3.8 3.8v5.4l-3.8 3.8H5.3l-3.8-3.8V5.3ZM5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4',
  disabled: 'M8 1.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13M6.3 5.6v4.8M9.7 5.6v4.8',
  expired: 'M2 3.5h12v10.5H2ZM2 6.5h12M5 1.5v3M11 1.5v3M6.2 8.8l3.6 3.6M9.8 8.8l-3.6 3.6',
  handle: 'M6 3.5v.1M10 3.5v.1M6 8v.1M10 8v.1M6 12.5v.1M10 12.5v.1',
  more: 'M3.5 8v.1M8 8v.1M12.5 8v.1',
  close: 'M3.5 3.5l9 9M12.5 3.5l-9 9',
  plus: 'M8 2.5v11M2.5 8h11',
  search: 'M7 2a5 5 0 1 0 0 10A5 5 0 0 0 7 2M10.7 10.7 14 14',
  shield: 'M8 1.5 13.5 3.5v4.2c0 3.2-2.3 5.6-5.5 6.8-3.2-1.2-5.5-3.6-5.5-6.8V3.5Z',
  back: 'M9.5 3 4.5 8l5 5',
  eye: 'M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8M8 6a2 2 0 1 0 0 4 2 2 0 0 0 0-4',
  offline:
    'M2 2l12 12M4.2 7.2a6 6 0 0 1 2.3-1.4M2 5a9 9 0 0 1 2.3-1.5M9.5 5.8a6 6 0 0 1 2.3 1.4M7.4 3A9 9 0 0 1 14 5M6.3 9.6a2.6 2.6 0 0 1 3 .2M8 12.4v.1',
  arrow: 'M3 8h10M9 4l4 4-4 4',
} as const;

export type IconName = keyof typeof SHAPES;

export function Icon({ name }: { name: IconName }): ComponentChildren {
  const heavy = name === 'handle' || name === 'more';
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path
        d={SHAPES[name]}
        fill="none"
        stroke="currentColor"
        stroke-width={heavy ? 2.2 : 1.5}
        stroke-linecap="round"
        stroke-linejoin="round"
      />
    </svg>
  );
}
