/* What keeps long lists cheap: rows that are drawn again only when something about them changed. */
import { Component, type ComponentClass, type VNode } from 'preact';
import { useCallback, useRef } from 'preact/hooks';

export function memo<P extends object>(draw: (props: P) => VNode): ComponentClass<P> {
  return class extends Component<P> {
    shouldComponentUpdate(next: P): boolean {
      const now = this.props as P;
      return (Object.keys(next) as (keyof P)[]).some((name) => !Object.is(next[name], now[name]));
    }

    render(): VNode {
      return draw(this.props as P);
    }
  };
}

/* A function that stays the same object and does what the newest one given does. */
export function useStable<A extends unknown[], R>(run: (...given: A) => R): (...given: A) => R {
  const newest = useRef(run);
  newest.current = run;
  return useCallback((...given: A) => newest.current(...given), []);
}
