/**
 * Decisions from a list of numbers: what turns fast-check's arrays into programs and schedules.
 *
 *   const choose = new Choices([7, 0, 3]);  choose.below(4) → 3;  choose.of(["a", "b"]) → "a"
 *
 * A list that has run out answers 0, so that a shorter list is a simpler object and 0 is the simplest decision everywhere: lists of options stand
 * with the plainest first. That is all that shrinking needs.
 */
import fc from "fast-check"

export class Choices {
  readonly #numbers: readonly number[]
  #next = 0

  constructor(numbers: readonly number[]) {
    this.#numbers = numbers
  }

  below(n: number): number {
    const drawn = this.#numbers[this.#next++] ?? 0
    return n <= 1 ? 0 : drawn % n
  }

  of<T>(options: readonly [T, ...T[]] | readonly T[]): T {
    return options[this.below(options.length)]!
  }

  /** True for about `percent` of the drawn numbers, false for 0. */
  chance(percent: number): boolean {
    return this.below(100) >= 100 - percent
  }
}

/** Such lists: all as likely as any other, for fast-check prefers short ones of small numbers, and those are the simplest objects. */
export const decisions = (shortest: number, longest: number): fc.Arbitrary<readonly number[]> =>
  fc.noBias(fc.array(fc.nat(9999), { minLength: shortest, maxLength: longest, size: "max" }))

/** Repeatable numbers in 0 … 2^32 − 1 from a seed: the data of a program. */
export function scrambled(seed: number): () => number {
  let state = (seed ^ 0x9e3779b9) >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let x = state
    x = Math.imul(x ^ (x >>> 15), x | 1)
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61)
    return (x ^ (x >>> 14)) >>> 0
  }
}
