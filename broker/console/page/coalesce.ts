/*
 * A thousand events a second must not become a thousand requests: work that is asked for while it
 * runs, or shortly after, is done once more, not many times. The first asking is served at once.
 */
export interface Coalesced {
  (): void;
  stop(): void;
}

export function coalesced(work: () => Promise<void>, gap_ms = 150): Coalesced {
  let running = false;
  let again = false;
  let stopped = false;
  let timer = 0;
  let free = 0; /* when it may run next */

  const run = async () => {
    running = true;
    again = false;
    const began = performance.now();
    try {
      await work();
    } finally {
      running = false;
      const ended = performance.now();
      free = ended + Math.max(gap_ms, ended - began);
      if (again) ask();
    }
  };
  const ask = () => {
    if (stopped) return;
    if (running) {
      again = true;
      return;
    }
    window.clearTimeout(timer);
    timer = window.setTimeout(run, Math.max(0, free - performance.now()));
  };
  ask.stop = () => {
    stopped = true;
    window.clearTimeout(timer);
  };
  return ask;
}
