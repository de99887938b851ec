/* One event in words: when, what, why, who. */
import { Ago } from './clock';
import { Icon } from './icons';
import { poolAddress } from './route';
import { StatusMark } from './status';
import { clockTime, dayOf, exact, parseTime } from './time';
import type { BrokerEvent } from './types';

/* "uid=0 pid=12" and "report uid=0 pid=12" as people say it. */
export function who(text: string): string {
  const parts = /^(report )?uid=(\d+) pid=(\d+)$/.exec(text);
  if (!parts) return text;
  return parts[1] ? `a worker (user ${parts[2]})` : `user ${parts[2]}`;
}

export function What({ event }: { event: BrokerEvent }) {
  if (event.from && event.to)
    return (
      <span class="line">
        <StatusMark status={event.from} />
        <Icon name="arrow" />
        <span class="unseen">to</span>
        <StatusMark status={event.to} />
      </span>
    );
  return <span class="kind">{event.kind}</span>;
}

export function why(event: BrokerEvent): string {
  const parts = [event.reason ?? event.class];
  if (event.http_status) parts.push(`HTTP ${event.http_status}`);
  if (event.vendor_code) parts.push(event.vendor_code);
  return parts.filter(Boolean).join(' · ');
}

/* In the events' table: cells of a row; `short` is the form in a key's history. */
export function EventLine({ event, short }: { event: BrokerEvent; short?: boolean }) {
  const at = parseTime(event.time) ?? 0;
  if (short)
    return (
      <>
        <span class="line">
          <What event={event} />
          <span class="faint">
            <Ago time={event.time} />
          </span>
        </span>
        <span class="faint">{[why(event), who(event.who)].filter(Boolean).join(' — ')}</span>
      </>
    );
  return (
    <>
      <span class="cell when" role="cell">
        <time dateTime={event.time} title={exact(at)}>
          <span class="faint day">{dayOf(at)} </span>
          {clockTime(at)}
        </time>
      </span>
      <span class="cell where" role="cell">
        <a class="cut" href={poolAddress(event.pool)}>
          {event.pool}
        </a>
        {event.key && <span class="cut">{event.key}</span>}
      </span>
      <span class="cell what" role="cell">
        <What event={event} />
      </span>
      <span class="cell reason cut" role="cell" title={why(event)}>
        {why(event)}
      </span>
      <span class="cell who cut" role="cell" title={event.who}>
        {who(event.who)}
      </span>
    </>
  );
}
