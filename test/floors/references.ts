/**
 * The programs of this folder: how large they are, what they are given, and rows of their results in float64 with how far f32 may be off.
 *
 * A sum of n products is off by n · u · Σ|products| at most, u = 2⁻²⁴, and by (8 + log2 n) · u · Σ|products| along axes of more than 4,096 elements.
 */
export const names = ["gathered-sum", "row-norm", "log-sum-exp"] as const
export type Name = (typeof names)[number]
export type Arrays = Readonly<Record<string, Float32Array | Int32Array>>

/** Values of one row of an output, and the bound of each. */
export interface Row {
  readonly output: string
  /** The place of the first value in the output. */
  readonly first: number
  readonly values: readonly number[]
  readonly bounds: readonly number[]
}

export interface Described {
  /** What the file's function of the program is called, and what it is given: by a card, and by a test. */
  readonly maker: string
  readonly large: readonly number[]
  readonly small: readonly number[]
  inputs(sizes: readonly number[]): Arrays
  row(arrays: Arrays, sizes: readonly number[], row: number): readonly Row[]
}

const u = 2 ** -24
const roundings = (n: number): number => (n > 4096 ? 8 + Math.log2(n) : n)
const range = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i)
const total = (xs: readonly number[]): number => xs.reduce((sum, x) => sum + x, 0)

/** As many numbers in −1 … 1 as a cache does not hold, again and again. */
function random(count: number, seed: number): Float32Array {
  const values = new Float32Array(count)
  const own = Math.min(count, 1 << 22)
  let state = seed
  for (let i = 0; i < own; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0
    values[i] = state / 2 ** 31
  }
  for (let at = own; at < count; at += own) values.set(values.subarray(0, Math.min(own, count - at)), at)
  return values
}

const gatheredSum: Described = {
  maker: "gatheredSum",
  // 524,288 rows of 1 KiB, all of which are picked, each once.
  large: [1 << 19, 1 << 12, 1 << 7, 256],
  small: [64, 5, 12, 36],
  inputs([rows, bags, slots, channels]) {
    const picked = Int32Array.from({ length: bags! * slots! }, (_, i) => Math.imul(i, 0x9e3779b1) & (rows! - 1))
    return { table: random(rows! * channels!, 1), picked, weight: random(bags! * slots!, 2) }
  },
  row({ table, picked, weight }, [, , slots, channels], bag) {
    const products = (c: number) =>
      range(slots!).map((s) => weight![bag * slots! + s]! * table![picked![bag * slots! + s]! * channels! + c]!)
    const all = range(channels!).map(products)
    const bound = (terms: readonly number[]) => (roundings(slots!) + 2) * u * total(terms.map(Math.abs))
    return [{ output: "y", first: bag * channels!, values: all.map(total), bounds: all.map(bound) }]
  },
}

const rowNorm: Described = {
  maker: "rowNorm",
  large: [1 << 16, 2048],
  small: [19, 200],
  inputs: ([rows, channels]) => ({ x: random(rows! * channels!, 3), probe: random(channels!, 4) }),
  row({ x, probe }, [, channels], row) {
    const own = range(channels!).map((c) => x![row * channels! + c]!)
    const square = total(own.map((v) => v * v)) / channels!
    const products = own.map((v, c) => (v * probe![c]!) / Math.sqrt(square + 1e-5))
    const [size, n] = [Math.sqrt(square), roundings(channels!)]
    return [
      { output: "size", first: row, values: [size], bounds: [(n + 8) * u * size] },
      {
        output: "score",
        first: row,
        values: [total(products)],
        bounds: [(2 * n + 16) * u * total(products.map(Math.abs))],
      },
    ]
  },
}

const logSumExp: Described = {
  maker: "logSumExp",
  large: [1 << 6, 1 << 14, 128],
  small: [3, 1100, 20],
  inputs: ([rows, causes, channels]) => ({
    evidence: random(rows! * causes!, 5).map((v) => 8 * v),
    prior: random(causes!, 6),
    predicted: random(rows! * causes! * channels!, 7),
  }),
  row({ evidence, prior, predicted }, [, causes, channels], row) {
    const scores = range(causes!).map((k) => evidence![row * causes! + k]! + prior![k]!)
    const largest = Math.max(...scores)
    const weights = scores.map((s) => Math.exp(s - largest))
    const sum = total(weights)
    // A score of at most 9 is rounded once, and again when the largest is taken off.
    const off = (2 * roundings(causes!) + 64) * u
    const means = range(channels!).map((c) =>
      weights.map((w, k) => (w / sum) * predicted![(row * causes! + k) * channels! + c]!),
    )
    return [
      { output: "total", first: row, values: [largest + Math.log(sum)], bounds: [off + 32 * u] },
      {
        output: "mean",
        first: row * channels!,
        values: means.map(total),
        bounds: means.map((terms) => off * total(terms.map(Math.abs))),
      },
    ]
  },
}

export const described: Readonly<Record<Name, Described>> = {
  "gathered-sum": gatheredSum,
  "row-norm": rowNorm,
  "log-sum-exp": logSumExp,
}

/** What is out of its bound in a result of one output, as text. */
export function wrongIn(row: Row, found: ArrayLike<number>): readonly string[] {
  return row.values.flatMap((value, i) => {
    const off = Math.abs(found[row.first + i]! - value)
    return off <= row.bounds[i]!
      ? []
      : [
          `${row.output}[${row.first + i}] is ${found[row.first + i]}, not ${value}: off by ${off}, at most ${row.bounds[i]}`,
        ]
  })
}
