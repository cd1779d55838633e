/**
 * Black and Scholes (1973): what an option on a share is worth. Let x = k·e^(−r·t), w = σ·√t and d = ln(s/x)/w + w/2; a call costs
 * s·N(d) − x·N(d − w) with N the normal distribution, and a put s less and x more.
 * Shows: inputs and outputs with named axes, an extent that each run sets, `map`, scalar functions in plain TypeScript.
 */
import { defineProgram, input, map, upTo } from "../dsl/index.js"

const rate = 0.02

/** N(z) by Abramowitz and Stegun 26.2.17, off by 7.5e-8 at most. */
const normal = (z: number): number => {
  const t = 1 / (1 + 0.2316419 * Math.abs(z))
  const p = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
  const tail = (p * Math.exp(-0.5 * z * z)) / Math.sqrt(2 * Math.PI)
  return z < 0 ? tail : 1 - tail
}

const option = upTo(1 << 20)
export const program = defineProgram({
  inputs: { spot: input({ option }), strike: input({ option }), years: input({ option }), sigma: input({ option }) },
  outputs: { call: ["option"], put: ["option"] },
  run({ spot, strike, years, sigma }) {
    const discounted = map((k, t) => k * Math.exp(-rate * t), strike, years)
    const width = map((v, t) => v * Math.sqrt(t), sigma, years)
    const distance = map((s, x, w) => Math.log(s / x) / w + w / 2, spot, discounted, width)
    const call = map((s, x, w, d) => s * normal(d) - x * normal(d - w), spot, discounted, width, distance)
    return { call, put: map((c, s, x) => c - s + x, call, spot, discounted) }
  },
})
