/** What was measured, for people and for programs. */

import type { Found } from "./search.js"
import type { Shares } from "./shares.js"

/** What was found for a kernel. */
export interface Measured extends Found {
  readonly kernel: string
  /** Of its structure, by which the schedule is found again. */
  readonly key: string
  readonly share: number
}

const ratioOf = (f: Found) => f.microseconds / f.heuristicMicroseconds

export function summary(found: readonly Measured[], { entries }: Shares) {
  const ratios = new Map(found.map((f) => [Number(/^k(\d+)/.exec(f.kernel)![1]), ratioOf(f)]))
  return {
    kernels: found.map(
      ({ kernel, key, share, microseconds, heuristicMicroseconds, better, tried, choices, problems }) => ({
        kernel,
        key,
        share,
        heuristicMicroseconds,
        microseconds,
        better,
        tried,
        choices,
        problems: problems.length,
      }),
    ),
    entries: [...entries].map(([entry, sums]) => {
      const heuristic = [...sums.values()].reduce((a, b) => a + b, 0)
      const best = [...sums].reduce((n, [kernel, sum]) => n + sum * (ratios.get(kernel) ?? 1), 0)
      return { entry, heuristicMicroseconds: heuristic, microseconds: best }
    }),
  }
}

export function table(found: readonly Measured[], shares: Shares): string {
  const row = (cells: readonly string[]) =>
    `${cells[0]!.padEnd(24)} ${cells
      .slice(1)
      .map((c) => c.padStart(11))
      .join(" ")}\n`
  const us = (n: number) => `${n.toFixed(1)} µs`
  const { entries } = summary(found, shares)
  return [
    row(["kernel", "share", "heuristic", "best", "ratio", "tried"]),
    ...found.map((f) =>
      row([
        f.kernel,
        `${(100 * f.share).toFixed(0)} %`,
        us(f.heuristicMicroseconds),
        us(f.microseconds),
        ratioOf(f).toFixed(2),
        `${f.tried} of ${f.choices}`,
      ]),
    ),
    ...entries.map((e) =>
      row([
        `all of ${e.entry}`,
        "",
        us(e.heuristicMicroseconds),
        us(e.microseconds),
        (e.microseconds / e.heuristicMicroseconds).toFixed(2),
        "",
      ]),
    ),
  ].join("")
}
