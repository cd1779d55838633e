/**
 * Error bounds beside values: how far two right evaluations of a program may lie apart.
 *
 *   x − y      value 1e-3 (after cancellation), bound |x| + |y|
 *   exp(x)     value e^x, bound e^x · (3 + bound(x)): its own error and the error of its argument
 *
 * A bound c is in units of the value. Two evaluations a, b are held to |a − b| ≤ 8 · 2^-24 · c, where 8 pays for the depth of the program.
 * Inputs have c = |x|. For + − × the bound is the value of the same program run on absolute values (in float64). Elsewhere it is first-order error
 * analysis: own · |f(x)| + |f'(x)| · c(x), where own = 1 + error / 8 for the `error` that operations.ts grants (8 is divided out since the law
 * multiplies by it). Quotients multiply condition numbers: c(a/b) = own · c(a) · c(b) / b². min, max and the folds over them take the bound of the
 * winner, or the larger one where the contest is closer than the errors. A select takes the bound of the branch that its condition chooses.
 *
 * Nothing is claimed of jumps (floor, sign, rem, comparisons): programs with them are drawn on small integers. An infinite bound claims nothing.
 */
import { type Operation, operation } from "../ir/operations.js"

/** The bound of a result r = f(a, b) from those of its f32 arguments. */
export type BoundRule = (r: number, a: number, ca: number, b: number, cb: number) => number

const own = (name: Operation): number => 1 + (operation(name).error ?? 0) / 8
const unit = 8 * 2 ** -24

/** The bound of the larger (or smaller) of two values: of the winner, or of both where they are closer than their errors. */
export function contestBound(r: number, a: number, ca: number, b: number, cb: number): number {
  if (Math.abs(a - b) <= unit * (ca + cb)) return Math.max(ca, cb)
  return r === a ? ca : cb
}

/** The bound of a number that is given. An infinity is one exactly, or not at all. */
export const givenBound = (x: number): number => (Number.isFinite(x) ? Math.abs(x) : 0)

const keep: BoundRule = (_, __, ca) => ca
const jump: BoundRule = (r, _, ca) => Math.max(Math.abs(r), ca)
const fresh: BoundRule = (r) => Math.abs(r)
/** A product in which an exact zero stays exact; never NaN. */
const times = (x: number, y: number): number => (x === 0 || y === 0 ? 0 : x * y)
/** Near the smallest normal number 2^-126 a device may flush to zero: unit · 2^-105 pays for it. What is exactly zero stays so. */
const flushed = (r: number, c: number): number => (c > 0 && Math.abs(r) < 2 ** -100 ? c + 2 ** -105 : c)
/** own · size + slope · c. */
const smooth = (name: Operation, size: number, slope: number, c: number): number =>
  c === Number.POSITIVE_INFINITY ? c : own(name) * size + times(slope, c)

/** Rules by operation; operations whose results are not f32 have none. `select` is not here: it takes the bound of its branch. */
export const bounds: Partial<Record<Operation, BoundRule>> = {
  add: (r, _, ca, __, cb) => flushed(r, ca + cb),
  sub: (r, _, ca, __, cb) => flushed(r, ca + cb),
  mul: (r, _, ca, __, cb) => (ca === 0 || cb === 0 ? 0 : flushed(r, Math.max(ca * cb, Number.MIN_VALUE))),
  div: (r, _, ca, b, cb) => {
    if (b === 0) return Number.POSITIVE_INFINITY
    return flushed(r, own("div") * times(ca / Math.abs(b), cb / Math.abs(b)))
  },
  rem: (_, a, ca, b, cb) => own("rem") * (ca + Math.abs(Math.trunc(a / b)) * cb),
  neg: keep,
  abs: keep,
  min: contestBound,
  max: contestBound,
  looseMax: contestBound,
  sign: jump,
  floor: jump,
  ceil: jump,
  round: jump,
  trunc: jump,
  // |√(x + δ) − √x| ≤ √|δ| bounds the slope at zero.
  sqrt: (r, _, ca) => own("sqrt") * r + Math.min(ca / Math.abs(r), Math.sqrt(ca / unit)) || 0,
  exp: (r, _, ca) => (r === 0 ? 2 ** -105 : flushed(r, smooth("exp", r, r, ca))),
  exp2: (r, _, ca) => (r === 0 ? 2 ** -105 : flushed(r, smooth("exp2", r, r * Math.LN2, ca))),
  // A device may round to the other neighbour; below 2^-14 those are 2^-24 apart.
  half: (r, _, ca) => (ca === 0 ? 0 : own("half") * Math.abs(r) + ca + 2 ** -24 / unit),
  // Near 1 the error of a logarithm is absolute: shading languages grant 2^-21 between 0.5 and 2.
  log: (r, a, ca) => smooth("log", Math.max(1, Math.abs(r)), 1 / Math.abs(a), ca),
  sin: (_, __, ca) => own("sin") + ca,
  cos: (_, __, ca) => own("cos") + ca,
  tanh: (r, _, ca) => smooth("tanh", Math.abs(r), 1 - r * r, ca),
  pow: (r, a, ca, b, cb) => {
    const size = Math.abs(r)
    if (size === 0) return a === 0 ? 0 : 2 ** -105
    const slope = size * Math.abs(Math.log(Math.abs(a)))
    return flushed(r, smooth("pow", size, size * Math.abs(b / a), ca) + times(slope, cb))
  },
  fromBits: fresh,
  toF32: fresh,
}
