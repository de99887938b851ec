/* One event in words: when, what, why, who. */
import { Ago } from './clock';
import { Icon } from './icons';
import { poolAddress } from './route';
import { StatusMark } from './status';
import { clockTime, dayOf, exact, parseTime, serverNow } from './time';
import type { BrokerEvent } from './types';
import { count } from './words';

/* Who did it, by name where there is one: "root", "reported by app-3 (inference)". */
export function who(event: BrokerEvent): string {
  const [, report, uid] = /^(report )?uid=(\d+) pid=\d+$/.exec(event.who) ?? [];
  const user = event.user ?? (uid && `user ${uid}`);
  if (!user) return event.who;
  if (!report) return user;
  return event.program ? `reported by ${event.program} (${user})` : `reported by ${user}`;
}

const Arrow = () => (
  <>
    <Icon name="arrow" />
    <span class="unseen">to</span>
  </>
);

function Change({ event }: { event: BrokerEvent }) {
  if (event.kind === 'failover')
    return (
      <>
        <span class="kind">failover</span>
        <span class="cut">{event.key ?? 'no key'}</span>
        <Arrow />
        <span class="cut">{event.to_key ?? 'no key'}</span>
      </>
    );
  if (event.from && event.to)
    return (
      <>
        <StatusMark status={event.from} />
        <Arrow />
        <StatusMark status={event.to} />
      </>
    );
  return <span class="kind">{event.kind}</span>;
}

export function What({ event }: { event: BrokerEvent }) {
  const often = event.count ?? 1;
  return (
    <span class="line">
      <Change event={event} />
      {often > 1 && <span class="faint">{count(often)} times</span>}
    </span>
  );
}

export function why(event: BrokerEvent): string {
  const parts = [event.reason?.trim() || event.class];
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
            {dayOf(at) !== dayOf(serverNow()) && `${dayOf(at)} `}
            {clockTime(at)} (<Ago time={event.time} />)
          </span>
        </span>
        <span class="faint">{[why(event), who(event)].filter(Boolean).join(', ')}</span>
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
        {event.pool ? (
          <a class="cut" href={poolAddress(event.pool)}>
            {event.pool}
          </a>
        ) : (
          <span class="faint">the broker</span>
        )}
        {event.key && <span class="cut">{event.key}</span>}
      </span>
      <span class="cell what" role="cell">
        <What event={event} />
      </span>
      <span class="cell reason cut" role="cell" title={why(event)}>
        {why(event)}
      </span>
      <span class="cell who cut" role="cell" title={event.who}>
        {who(event)}
      </span>
    </>
  );
}
