/*
 * Which rows of a long list to draw: those in sight and some around them. Rows are of one height,
 * given by the style sheet (--row-height of the list's element), and the list is as tall as all of
 * them, so that the window's own scroll bar is right.
 */
import type { RefObject } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';

const AROUND = 8;
const STEP = 8; /* rows are drawn and dropped so many at a time */

export interface Windowed {
  list: RefObject<HTMLDivElement | null>;
  rowHeight: number;
  first: number;
  last: number; /* the last one to draw; -1 = none */
}

function heightOf(element: HTMLElement): number {
  const text = getComputedStyle(element).getPropertyValue('--row-height').trim();
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  return Math.round(parseFloat(text) * rem) || 56;
}

export function useWindowed(total: number): Windowed {
  const list = useRef<HTMLDivElement>(null);
  const [range, setRange] = useState({ rowHeight: 56, first: 0, last: Math.min(total, 40) - 1 });
  const measure = () => {
    const element = list.current;
    if (!element) return;
    const rowHeight = heightOf(element);
    const top = element.getBoundingClientRect().top;
    const above = Math.floor(-top / rowHeight) - AROUND;
    const below = Math.ceil((innerHeight - top) / rowHeight) + AROUND;
    const first = Math.max(0, Math.floor(above / STEP) * STEP);
    const last = Math.min(total - 1, Math.ceil(below / STEP) * STEP);
    setRange((old) =>
      old.rowHeight === rowHeight && old.first === first && old.last === last
        ? old
        : { rowHeight, first, last },
    );
  };
  useLayoutEffect(measure);
  useEffect(() => {
    let frame = 0;
    const later = () => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(measure);
    };
    window.addEventListener('scroll', later, { passive: true });
    window.addEventListener('resize', later);
    return () => {
      cancelAnimationFrame(frame);
      window.removeEventListener('scroll', later);
      window.removeEventListener('resize', later);
    };
  });
  return { list, ...range };
}
