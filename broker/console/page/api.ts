/*
 * The broker's commands over HTTP. Every other file that talks to the broker does it through
 * `command`; a refusal arrives as a Refusal with the broker's own words.
 */
import { ask } from './session';

export class Refusal extends Error {
  constructor(
    readonly code: number,
    readonly reason: string,
    message: string,
    readonly field: string,
  ) {
    super(message);
  }

  get outdated(): boolean {
    return this.reason === 'outdated-revision';
  }

  /* The broker was not asked, or its answer is not known: not a refusal by a rule. */
  get unreachable(): boolean {
    return this.code === 0 || this.code === 502;
  }
}

export async function command<T>(words: (string | number)[], payload?: unknown): Promise<T> {
  const body: { words: string[]; payload?: unknown } = { words: words.map(String) };
  if (payload !== undefined) body.payload = payload;
  let response: Response;
  try {
    response = await ask('/api/command', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
  } catch {
    throw new Refusal(0, 'no-console', 'The console does not answer.', '');
  }
  const answer = await response.json().catch(() => null);
  if (response.ok && answer) return answer as T;
  throw new Refusal(
    response.status,
    answer?.reason ?? 'failed',
    answer?.message ?? `The console answered ${response.status}.`,
    answer?.field ?? '',
  );
}

/* `if-revision=` as a word, or nothing where no revision is known. */
export function ifRevision(revision: number | undefined): string[] {
  return revision === undefined ? [] : [`if-revision=${revision}`];
}

/* How a key is named in a command: by its id, which stays when somebody renames it meanwhile. */
export function keyWord(key: { id: number }): string {
  return `#${key.id}`;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
