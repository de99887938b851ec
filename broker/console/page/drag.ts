/*
 * Dragging by a pointer: SortableJS senses the drag (handle, long press on touch, the picture that
 * follows the pointer, scrolling at the edges); where the row would stand is reckoned here, because
 * only the rows in sight are in the document.
 */
import Sortable, { AutoScroll } from 'sortablejs/modular/sortable.core.esm.js';
import { useEffect } from 'preact/hooks';
import type { RefObject } from 'preact';
import type { Lift } from './lift';
import type { Roster } from './roster';

Sortable.mount(new AutoScroll());

const LONG_PRESS_MS = 220;

interface DragPlace {
  list: RefObject<HTMLDivElement | null>;
  rowHeight: number;
}

function followPointer(lift: Lift, place: DragPlace): () => void {
  let y = 0;
  const reckon = () => {
    const top = place.list.current?.getBoundingClientRect().top;
    if (top !== undefined) lift.moveTo(Math.floor((y - top) / place.rowHeight));
  };
  const moved = (event: PointerEvent) => {
    y = event.clientY;
    reckon();
  };
  const key = (event: KeyboardEvent) => {
    if (event.key !== 'Escape') return;
    event.preventDefault();
    lift.cancel();
    document.dispatchEvent(new PointerEvent('pointerup'));
  };
  document.addEventListener('pointermove', moved, true);
  window.addEventListener('scroll', reckon, { passive: true });
  document.addEventListener('keydown', key, true);
  return () => {
    document.removeEventListener('pointermove', moved, true);
    window.removeEventListener('scroll', reckon);
    document.removeEventListener('keydown', key, true);
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
      scroll: true,
      bubbleScroll: true,
      forceAutoScrollFallback: true,
      scrollSensitivity: 96,
      scrollSpeed: 18,
      onStart: ({ item }: { item: HTMLElement }) => {
        const index = Number(item.dataset.index);
        const key = roster.keyAt(index);
        if (!key) return;
        Sortable.ghost?.setAttribute('aria-hidden', 'true');
        lift.begin(key, index, 'pointer');
        unfollow = followPointer(lift, place);
      },
      onEnd: () => {
        unfollow();
        void lift.drop();
      },
    });
    return () => {
      unfollow();
      sortable.destroy();
    };
  }, [roster, lift, rowHeight, allowed]);
}
