/* The vendors that the broker knows; they change only with its version, so they are asked once. */
import { useEffect, useState } from 'preact/hooks';
import { command, messageOf } from './api';
import type { Vendor } from './types';

let all: Promise<Vendor[]> | null = null;
const whole = new Map<string, Promise<Vendor>>();

function kept<T>(asked: Promise<T>, forget: () => void): Promise<T> {
  asked.catch(forget);
  return asked;
}

export function loadVendors(): Promise<Vendor[]> {
  all ??= kept(
    command<{ vendors: Vendor[] }>(['show', 'vendors']).then((answer) => answer.vendors),
    () => (all = null),
  );
  return all;
}

export function loadVendor(name: string): Promise<Vendor> {
  if (!whole.has(name))
    whole.set(
      name,
      kept(command<Vendor>(['show', 'vendor', name]), () => whole.delete(name)),
    );
  return whole.get(name)!;
}

function usePromise<T>(key: string, load: () => Promise<T>): { value: T | null; trouble: string } {
  const [state, setState] = useState<{ key: string; value: T | null; trouble: string }>({
    key: '',
    value: null,
    trouble: '',
  });
  useEffect(() => {
    let gone = false;
    if (key)
      load().then(
        (value) => !gone && setState({ key, value, trouble: '' }),
        (error) => !gone && setState({ key, value: null, trouble: messageOf(error) }),
      );
    return () => {
      gone = true;
    };
  }, [key]);
  return state.key === key ? state : { value: null, trouble: '' };
}

export const useVendors = () => usePromise('all', loadVendors);
export const useVendor = (name: string) => usePromise(name, () => loadVendor(name));
