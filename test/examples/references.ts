/**
 * What the examples compute, in plain TypeScript over float64, and how far f32 may be from it.
 *
 * A bound is the usual one of rounding analysis: a sum of n products is off by (n + a few)·u·Σ|products|, u = 2⁻²⁴, in any order. For long
 * chains of sums that is far too much: there roundings count as random, and √n stands in the place of n (Higham and Mary 2019).
 */
export const u = 2 ** -24
export const likely = (n: number): number => 2 * Math.sqrt(n) * u
export type Numbers = ArrayLike<number>
export const range = (n: number): readonly number[] => Array.from({ length: n }, (_, i) => i)
function total(n: number, f: (i: number) => number): number {
  let sum = 0
  for (let i = 0; i < n; i++) sum += f(i)
  return sum
}

/** Numbers in 0 … 1, the same for the same seed. */
export function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}
export const floats = (n: number, f: (i: number) => number): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => f(i))

/** The normal distribution: a power series near 0, a continued fraction far from it; both to the last digits. */
function normal(z: number): number {
  const density = Math.exp(-0.5 * z * z) / Math.sqrt(2 * Math.PI)
  if (z < 0) return 1 - normal(-z)
  if (z > 3) {
    let fraction = z
    for (let k = 80; k > 0; k--) fraction = z + k / fraction
    return 1 - density / fraction
  }
  let [term, sum] = [z, z]
  for (let k = 3; k < 120; k += 2) {
    term *= (z * z) / k
    sum += term
  }
  return 0.5 + density * sum
}

export function blackScholes(spot: number, strike: number, years: number, sigma: number, rate: number) {
  const d1 = (Math.log(spot / strike) + (rate + (sigma * sigma) / 2) * years) / (sigma * Math.sqrt(years))
  const d2 = d1 - sigma * Math.sqrt(years)
  const discounted = strike * Math.exp(-rate * years)
  return {
    call: spot * normal(d1) - discounted * normal(d2),
    put: discounted * normal(-d2) - spot * normal(-d1),
    scale: spot + discounted,
  }
}

/** The steps until |z| > 2, every operation rounded by `round`. */
export function mandelbrot(re: number, im: number, limit: number, round: (x: number) => number): number {
  let [x, y] = [re, im]
  for (let n = 0; n < limit; n++) {
    const [xx, yy, xy] = [round(x * x), round(y * y), round(round(2 * x) * y)]
    if (!(round(xx + yy) <= 4)) return n
    x = round(round(xx - yy) + re)
    y = round(xy + im)
  }
  return limit
}

export function histogram(image: Numbers, levels: number) {
  const count = new Int32Array(levels)
  for (const g of range(image.length)) count[image[g]!]!++
  const darker = range(levels).map((g) => total(g + 1, (k) => count[k]!))
  const lookup = darker.map((n) => Math.trunc(((levels - 1) * n) / darker.at(-1)!))
  return { count: [...count], equalised: range(image.length).map((i) => lookup[image[i]!]!) }
}

export function stencil(image: Numbers, kernel: Numbers, rows: number, columns: number) {
  const near = (y: number, x: number) => (y < 0 || x < 0 || y >= rows || x >= columns ? 0 : image[y * columns + x]!)
  const at = (i: number, f: (product: number) => number) =>
    total(9, (k) => f(kernel[k]! * near(Math.floor(i / columns) + Math.floor(k / 3) - 1, (i % columns) + (k % 3) - 1)))
  return range(rows * columns).map((i) => ({ value: at(i, (p) => p), bound: 12 * u * at(i, Math.abs) }))
}

export function kMeans(points: Numbers, centroids: Numbers, dim: number) {
  const [n, k] = [points.length / dim, centroids.length / dim]
  const distances = range(n).map((p) =>
    range(k).map((c) => total(dim, (d) => (points[p * dim + d]! - centroids[c * dim + d]!) ** 2)),
  )
  const nearest = distances.map((row) => row.indexOf(Math.min(...row)))
  const moved = range(k * dim).map((i) => {
    const members = range(n).filter((p) => nearest[p] === Math.floor(i / dim))
    if (members.length === 0) return centroids[i]!
    return total(members.length, (m) => points[members[m]! * dim + (i % dim)]!) / members.length
  })
  return { nearest, moved, inertia: total(n, (p) => distances[p]![nearest[p]!]!) }
}

/** `bound` is for velocities; positions add at most their own rounding to the time that passes. */
export function nBody(mass: Numbers, position: Numbers, velocity: Numbers, steps: number, dt: number, soft: number) {
  const n = mass.length
  let [p, v] = [Array.from(position), Array.from(velocity)]
  let bound = 0
  for (let step = 0; step < steps; step++) {
    const pull = (i: number, j: number) => {
      const square = total(3, (d) => (p[j * 3 + d]! - p[i * 3 + d]!) ** 2)
      return mass[j]! / (square + soft * soft) ** 1.5
    }
    const sum = (c: number, f: (x: number) => number) =>
      total(n, (j) => f(pull(Math.floor(c / 3), j) * (p[j * 3 + (c % 3)]! - p[c]!)))
    bound += Math.max(...range(3 * n).map((c) => (n + 32) * u * dt * sum(c, Math.abs) + 4 * u * Math.abs(v[c]!)))
    v = v.map((x, c) => x + dt * sum(c, (a) => a))
    p = p.map((x, c) => x + dt * v[c]!)
  }
  return { position: p, velocity: v, bound: 2 * bound }
}

export function powerIteration(matrix: Numbers, start: Numbers, steps: number) {
  const n = start.length
  const product = (x: Numbers) => range(n).map((r) => total(n, (c) => matrix[r * n + c]! * x[c]!))
  let x = Array.from(start)
  for (let i = 0; i < steps; i++) {
    const y = product(x)
    const norm = Math.sqrt(total(n, (k) => y[k]! ** 2))
    x = y.map((e) => e / norm)
  }
  const y = product(x)
  return { vector: x, value: total(n, (k) => x[k]! * y[k]!) }
}

export function block(x: Numbers, gain: Numbers, bias: Numbers, up: Numbers, down: Numbers) {
  const embed = gain.length
  const hidden = up.length / embed
  const gelu = (v: number) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)))
  return range(x.length / embed).flatMap((t) => {
    const row = range(embed).map((e) => x[t * embed + e]!)
    const mean = total(embed, (e) => row[e]!) / embed
    const deviation = Math.sqrt(total(embed, (e) => (row[e]! - mean) ** 2) / embed + 1e-5)
    const normed = row.map((v, e) => ((v - mean) / deviation) * gain[e]! + bias[e]!)
    const inner = range(hidden).map((h) => total(embed, (e) => up[h * embed + e]! * normed[e]!))
    const spread = range(hidden).map((h) => Math.sqrt(total(embed, (e) => (up[h * embed + e]! * normed[e]!) ** 2)))
    return range(embed).map((e) => ({
      value: row[e]! + total(hidden, (h) => down[e * hidden + h]! * gelu(inner[h]!)),
      // |gelu'| ≤ 1.13
      bound:
        likely(embed + hidden) *
        (Math.abs(row[e]!) + total(hidden, (h) => 1.13 * Math.abs(down[e * hidden + h]!) * spread[h]!)),
    }))
  })
}
