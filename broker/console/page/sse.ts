/*
 * Server-sent events by fetch, which sends the page's secret; an EventSource can't. One request:
 * whoever asked connects again when it is over.
 */
import { ask } from './session';

export interface Message {
  event: string;
  data: string;
  id: string;
}

/* Takes text as it comes and gives the whole messages in it (comments: none). */
export class MessageParser {
  private rest = '';
  private message: Message = { event: '', data: '', id: '' };

  *take(text: string): Generator<Message> {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop()!;
    for (const line of lines) {
      const { message } = this;
      const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line)!;
      if (!line) {
        this.message = { event: '', data: '', id: '' };
        if (message.data) yield message;
      } else if (name === 'event' || name === 'id') message[name] = value;
      else if (name === 'data') message.data += (message.data && '\n') + value;
    }
  }
}

/* `opened` is called when the console answers, `heard` with every message, `alive` with every
 * piece of it. Ends when the stream does; throws when the console does not answer. */
export async function readMessages(
  path: string,
  signal: AbortSignal,
  heard: (message: Message) => void,
  alive: () => void,
): Promise<void> {
  const answer = await ask(path, { signal, headers: { Accept: 'text/event-stream' } });
  if (!answer.ok || !answer.body) return;
  const reader = answer.body.getReader();
  const decoder = new TextDecoder();
  const parser = new MessageParser();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    alive();
    for (const message of parser.take(decoder.decode(value, { stream: true }))) heard(message);
  }
}
