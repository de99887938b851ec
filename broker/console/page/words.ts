/* Small matters of wording. */

/* 10000 as people write it here. */
export function count(number: number): string {
  return number.toLocaleString();
}

/* "1 key", "7 keys". */
export function plural(number: number, one: string, many = `${one}s`): string {
  return `${count(number)} ${number === 1 ? one : many}`;
}
