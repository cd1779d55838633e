/**
 * Formats whose weights are sums of a number and of one field's multiple, and what these are.
 *
 *   q4_0   scale · (code − 8)                             →   slope scale, offset scale · −8
 *   q4_k   blockScale · scale · code − blockMinimum · …   →   slope blockScale · scale, offset −(blockMinimum · minimum)
 *
 * It is found by following the format's own function with a field that is not known. A table of codes is none.
 */
import type { Arithmetic, Format, Plane } from "../../../runtime/weights/formats/format.js"
import { apply, literal } from "../expression.js"
import type { Expression } from "../nodes.js"
import { expressions } from "./formats.js"

/** slope · code + offset; what is left out is 0. */
interface Affine {
  readonly slope?: Expression
  readonly offset?: Expression
}

/** A format by the field that its weights are multiples of. */
export interface AffineFormat {
  readonly codes: Plane
  /** The other planes, of which slope and offset are made. */
  readonly others: readonly Plane[]
  readonly of: (fields: Readonly<Record<string, Expression>>) => {
    readonly slope: Expression
    readonly offset?: Expression
  }
}

/** What is no multiple of a field of its own for each weight. */
class NotAffine extends Error {}

const isOne = (x: Expression) => x === literal(1, "f32")
type Binary = (a: Expression, b: Expression) => Expression

const times = (a: Expression | undefined, b: Expression | undefined) =>
  a === undefined || b === undefined ? undefined : isOne(a) ? b : isOne(b) ? a : expressions.mul(a, b)

const plus = (a: Expression | undefined, b: Expression | undefined, join: Binary) =>
  a === undefined ? b : b === undefined ? a : join(a, b)

const made = (slope: Expression | undefined, offset: Expression | undefined): Affine => ({
  ...(slope === undefined ? {} : { slope }),
  ...(offset === undefined ? {} : { offset }),
})

const negative = (x: Expression | undefined) => (x === undefined ? undefined : apply("neg", x))

const affine: Arithmetic<Affine> = {
  number: (x) => made(undefined, expressions.number(x)),
  add: (a, b) => made(plus(a.slope, b.slope, expressions.add), plus(a.offset, b.offset, expressions.add)),
  sub: (a, b) =>
    made(
      a.slope === undefined ? negative(b.slope) : plus(a.slope, b.slope, expressions.sub),
      a.offset === undefined ? negative(b.offset) : plus(a.offset, b.offset, expressions.sub),
    ),
  mul(a, b) {
    if (a.slope !== undefined && b.slope !== undefined) throw new NotAffine()
    return made(plus(times(a.slope, b.offset), times(a.offset, b.slope), expressions.add), times(a.offset, b.offset))
  },
  pick(table, index) {
    if (index.slope !== undefined || index.offset === undefined) throw new NotAffine()
    return made(undefined, expressions.pick(table, index.offset))
  },
}

/** A format as multiples of its only field of each weight; undefined where it is none. */
export function affineFormat({ planes, decode }: Format): AffineFormat | undefined {
  const [codes, ...more] = planes.filter((p) => p.per === 1)
  if (codes === undefined || more.length > 0) return undefined
  const others = planes.filter((p) => p !== codes)
  const of = (fields: Readonly<Record<string, Expression>>) => {
    const given = Object.entries(fields).map(([name, offset]): [string, Affine] => [name, { offset }])
    return decode(affine, Object.fromEntries([...given, [codes.name, { slope: literal(1, "f32") }]]))
  }
  const names = Object.fromEntries(others.map((p) => [p.name, expressions.number(2)]))
  try {
    if (of(names).slope === undefined) return undefined
  } catch (error) {
    if (error instanceof NotAffine) return undefined
    throw error
  }
  return { codes, others, of: (fields) => of(fields) as ReturnType<AffineFormat["of"]> }
}
