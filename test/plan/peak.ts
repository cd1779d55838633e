import type { Life } from "../../compiler/plan/slots.js"

/** The bytes that are in use at once, at most: no packing takes less. */
export function peak(lives: readonly Life[]): number {
  const changes = new Map<number, number>()
  const change = (at: number, bytes: number) => changes.set(at, (changes.get(at) ?? 0) + bytes)
  for (const { bytes, first, last } of lives) {
    change(first, bytes)
    change(last + 1, -bytes)
  }
  let now = 0
  let most = 0
  for (const [, bytes] of [...changes].sort((a, b) => a[0] - b[0])) {
    now += bytes
    most = Math.max(most, now)
  }
  return most
}
