/*
 * The shapes of the broker's JSON, as far as the page reads them. Times are RFC 3339 in UTC, absent
 * ones null; secrets come masked. Fields are only ever added.
 */
export const STATUSES = ['normal', 'cooling', 'exceeded', 'error', 'disabled', 'expired'] as const;
export type Status = (typeof STATUSES)[number];
export type Config = Record<string, unknown>;

export interface Pool {
  name: string;
  vendor: string;
  strategy: 'priority' | 'spread';
  group: string | null;
  current: string | null;
  next: string | null; /* who takes over if the current one fails now */
  recovers_at: string | null; /* when an exhausted pool has a usable key again */
  usable: number;
  total: number;
  counts: Record<Status, number>;
  guard: 'off' | 'on' | 'holding';
  guard_share: number; /* percent; 0 = off */
  guard_until: string | null; /* when it holds: until then */
  guard_held: number; /* keys that would be in error but for it */
  revision: number;
  last_failover: string | null;
  failovers: number;
  base_url: string | null;
  exceeded_recovery: string;
  error_recovery: string;
  created_at: string;
  default: string | null;
}

export interface Failure {
  at: string;
  class: string;
  http_status: number | null;
  vendor_code: string | null;
}

export interface Key {
  id: number;
  name: string;
  status: Status;
  priority: number;
  default: boolean;
  current: boolean;
  masked: string | null;
  base_url: string | null;
  config: Config;
  expires_at: string | null;
  account: string | null;
  weight: number;
  note: string | null;
  reason: string | null;
  status_since: string | null;
  recovers_at: string | null;
  last_failure: Failure | null;
  counters: Record<string, number>;
  created_at: string;
  updated_at: string;
}

export interface KeyList {
  pool: string;
  vendor: string;
  strategy: 'priority' | 'spread';
  revision: number;
  total: number;
  current: string | null;
  usable: number;
  pool_total: number;
  keys: Key[];
}

export interface VendorField {
  name: string;
  title: string;
  required: boolean;
  secret: boolean;
}

export interface Vendor {
  name: string;
  title: string;
  base_url: string | null;
  base_url_required: boolean;
  base_url_form?: string;
  key_prefixes: string[]; /* how its keys begin; [] = anyhow */
  fields?: VendorField[];
}

export interface BrokerEvent {
  seq: number;
  time: string;
  pool: string;
  key: string | null;
  kind: string;
  from: Status | null;
  to: Status | null;
  class: string | null;
  reason: string | null;
  http_status: number | null;
  vendor_code: string | null;
  who: string;
  uid?: number | null; /* null = the broker itself */
  user?: string | null;
  program?: string | null; /* or its unit */
  to_key?: string | null; /* of a failover: the one that is used now */
  count?: number; /* how often it happened */
}

export interface Changed {
  message: string;
  revision?: number;
  expires_at?: string | null; /* as it was understood */
}

export interface Imported extends Changed {
  changes: string[];
  applied: boolean;
}
