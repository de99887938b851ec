/*
 * Dragging by a pointer: SortableJS senses the drag (handle, long press on touch, the picture that
 * follows the pointer); where the row would stand and how the window scrolls at its edges is reckoned
 * here, because only the rows in sight are in the document.
 */
import Sortable from 'sortablejs/modular/sortable.core.esm.js';
import type { RefObject } from 'preact';
import { useEffect } from 'preact/hooks';
import type { Lift } from './lift';
import type { Roster } from './roster';

const LONG_PRESS_MS = 220;
const EDGE_PX = 112; /* of the window: bar and table head at the top */
const FASTEST_PX = 48; /* a frame */

interface DragPlace {
  list: RefObject<HTMLDivElement | null>;
  rowHeight: number;
}

/* How far to scroll in this frame: faster the nearer the pointer is to an edge, or beyond it. */
function scrollStep(y: number): number {
  const above = EDGE_PX - y;
  const below = y - (innerHeight - EDGE_PX);
  const depth = Math.max(above, below, 0) / EDGE_PX;
  const speed = Math.min(1, depth * depth) * FASTEST_PX;
  return above > 0 ? -speed : speed;
}

function followPointer(lift: Lift, place: DragPlace, begin: number): () => void {
  let y = begin;
  let frame = 0;
  const follow = () => {
    const step = scrollStep(y);
    if (step) window.scrollBy({ top: step, behavior: 'instant' });
    const top = place.list.current?.getBoundingClientRect().top;
    if (top !== undefined) lift.moveTo(Math.floor((y - top) / place.rowHeight));
    frame = requestAnimationFrame(follow);
  };
  const moved = (event: PointerEvent) => {
    y = event.clientY;
  };
  const key = (event: KeyboardEvent) => {
    if (event.key !== 'Escape') return;
    event.preventDefault();
    lift.cancel();
    document.dispatchEvent(new PointerEvent('pointerup'));
  };
  document.addEventListener('pointermove', moved, true);
  document.addEventListener('keydown', key, true);
  frame = requestAnimationFrame(follow);
  return () => {
    cancelAnimationFrame(frame);
    document.removeEventListener('pointermove', moved, true);
    document.removeEventListener('keydown', key, true);
    const top = place.list.current?.getBoundingClientRect().top;
    if (top !== undefined) lift.moveTo(Math.floor((y - top) / place.rowHeight));
  };
}

export function useDrag(roster: Roster, lift: Lift, place: DragPlace, allowed: boolean): void {
  const { list, rowHeight } = place;
  useEffect(() => {
    if (!list.current || !allowed) return;
    let unfollow = () => {};
    const sortable = Sortable.create(list.current, {
      handle: '.handle',
      draggable: '.row',
      sort: false,
      forceFallback: true,
      fallbackOnBody: true,
      fallbackTolerance: 3,
      fallbackClass: 'drag-picture',
      delay: LONG_PRESS_MS,
      delayOnTouchOnly: true,
      touchStartThreshold: 6,
      onStart: (start: { item: HTMLElement; originalEvent?: PointerEvent }) => {
        const index = Number(start.item.dataset.index);
        const key = roster.keyAt(index);
        if (!key) return;
        Sortable.ghost?.setAttribute('aria-hidden', 'true');
        lift.begin(key, index, 'pointer');
        const box = start.item.getBoundingClientRect();
        unfollow = followPointer(
          lift,
          place,
          start.originalEvent?.clientY ?? box.top + box.height / 2,
        );
      },
      onEnd: () => {
        unfollow();
        void lift.drop();
      },
    });
    return () => {
      unfollow();
      if (lift.store.get()?.by === 'pointer') lift.cancel();
      sortable.destroy();
    };
  }, [roster, lift, rowHeight, allowed]);
}
