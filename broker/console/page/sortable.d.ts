/* What drag.ts uses of SortableJS's core module, which comes without types. */
declare module 'sortablejs/modular/sortable.core.esm.js' {
  export default class Sortable {
    static ghost: HTMLElement | null;
    static create(element: HTMLElement, options: object): Sortable;
    destroy(): void;
  }
}
