/*
 * Times as people read them, on the server's clock: the page counts down to what the broker says,
 * whatever this machine believes the time to be.
 */
const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/* The server's clock minus this machine's. A message is late, never early, so of the last few the
 * greatest difference is the truest. */
const SAMPLES = 8;
const offsets: number[] = [];

export function setServerTime(now: string): void {
  const server = Date.parse(now);
  if (Number.isNaN(server)) return;
  offsets.push(server - Date.now());
  if (offsets.length > SAMPLES) offsets.shift();
}

export function serverNow(): number {
  return Date.now() + (offsets.length ? Math.max(...offsets) : 0);
}

export function parseTime(text: string | null | undefined): number | null {
  const time = text ? Date.parse(text) : NaN;
  return Number.isNaN(time) ? null : time;
}

const two = (number: number): string => String(number).padStart(2, '0');

/* "4:12", "1:04:12", "3 d 4 h", "120 d": what is left. */
export function countdown(left_ms: number): string {
  const seconds = Math.max(0, Math.ceil(left_ms / SECOND));
  const hours = Math.floor(seconds / 3600);
  if (hours >= 100 * 24) return `${Math.floor(hours / 24)} d`;
  if (hours >= 48) return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  const rest = `${two(seconds % 60)}`;
  return hours
    ? `${hours}:${two(Math.floor(seconds / 60) % 60)}:${rest}`
    : `${Math.floor(seconds / 60)}:${rest}`;
}

/* "just now", "12 s", "5 min", "3 h", "2 d", "5 mo": a distance, without its direction. */
export function span(distance_ms: number): string {
  const distance = Math.abs(distance_ms);
  if (distance < 5 * SECOND) return 'just now';
  if (distance < MINUTE) return `${Math.floor(distance / SECOND)} s`;
  if (distance < HOUR) return `${Math.floor(distance / MINUTE)} min`;
  if (distance < 2 * DAY) return `${Math.floor(distance / HOUR)} h`;
  if (distance < 90 * DAY) return `${Math.floor(distance / DAY)} d`;
  if (distance < 730 * DAY) return `${Math.floor(distance / (30.44 * DAY))} mo`;
  return `${Math.floor(distance / (365.25 * DAY))} y`;
}

/* "5 min ago", "in 3 h", "just now". */
export function relative(time: number, now: number): string {
  const text = span(time - now);
  if (text === 'just now') return text;
  return time > now ? `in ${text}` : `${text} ago`;
}

const EXACT = new Intl.DateTimeFormat(undefined, {
  year: 'numeric',
  month: 'short',
  day: 'numeric',
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
  timeZoneName: 'short',
});

export function exact(time: number): string {
  return EXACT.format(time);
}

const CLOCK = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});

export function clockTime(time: number): string {
  return CLOCK.format(time);
}

const DAY_OF_YEAR = new Intl.DateTimeFormat(undefined, {
  year: 'numeric',
  month: 'short',
  day: 'numeric',
});

export function dayOf(time: number): string {
  return DAY_OF_YEAR.format(time);
}

/* A time as an <input type="datetime-local"> has it, in this machine's zone. */
export function toInput(time: number): string {
  const date = new Date(time);
  const seconds = date.getSeconds();
  return (
    `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}` +
    `T${two(date.getHours())}:${two(date.getMinutes())}${seconds ? `:${two(seconds)}` : ''}`
  );
}

/* The reverse, as RFC 3339 in UTC; null where it is no time. */
export function fromInput(text: string): string | null {
  const time = text ? new Date(text).getTime() : NaN;
  return Number.isNaN(time) ? null : new Date(time).toISOString().replace('.000Z', 'Z');
}

const UNITS: Record<string, number> = { s: SECOND, m: MINUTE, h: HOUR, d: DAY, w: 7 * DAY };

/* "+30d", "+2w", "+1y": the time that is so much later; null where it is none. Years are the
 * calendar's. */
export function afterWhile(text: string, from: number): number | null {
  const [, digits, unit] = /^\s*\+?\s*(\d{1,6})\s*([smhdwy])\s*$/.exec(text) ?? [];
  if (!unit) return null;
  const date = new Date(from - (from % SECOND));
  if (unit === 'y') date.setFullYear(date.getFullYear() + Number(digits));
  else date.setTime(date.getTime() + Number(digits) * UNITS[unit]);
  return date.getFullYear() <= 9999 ? date.getTime() : null;
}

export function utc(time: number): string {
  return new Date(time).toISOString().slice(0, 19).replace('T', ' ') + ' UTC';
}
