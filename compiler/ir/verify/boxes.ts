/**
 * The rules of boxes: what one instruction copies, and where.
 *
 *   copy boxes lane of arrivals: …                 all lanes say the same number, and lane differs
 *   … = x[rows by 100, 100][…]                     rows of memory begin at multiples of 16 bytes, and 100 halves are no such
 *
 *   copy boxes 3 of arrivals, the last lane        lanes are counted by 32, and there are 48
 *
 * The workgroup comes to these statements together; where boxes lie its first lane says. A row of a box is as wide as the swizzle of the array that it goes to, so that boxes lie there as
 * the array's own elements do, and a box begins where the swizzle does.
 */
import { isLiteral } from "../expression.js"
import { type Box, type BoxCopy, type Place, type StatementOf, storageBytes } from "../loop.js"
import type { Expression } from "../nodes.js"
import { type Around, all } from "./likeness.js"

/** Bytes at whose multiples rows of matrices begin, and rows of boxes at most. */
const [aligned, mostRows] = [16, 256]
/** Rows after which a swizzle comes again. */
const swizzledRows = 8
/** Groups under way at most. */
const mostPlaces = 8

type Problems = readonly (string | false)[]

export function boxProblems(s: StatementOf<"arrivals" | "copyBoxes" | "arrived">, around: Around): readonly string[] {
  const together = around.alike < all && "the workgroup does this together, and control may differ between lanes"
  const own = s.kind === "arrivals" ? placesProblems(s) : numberProblems(s.number, around)
  const boxes =
    s.kind === "copyBoxes" ? [lastProblem(s, around), ...s.boxes.flatMap((b) => copyProblems(b, around))] : []
  return [together, ...own, ...boxes].filter((p): p is string => typeof p === "string")
}

const placesProblems = ({ places }: StatementOf<"arrivals">): Problems => [
  !(Number.isInteger(places) && places >= 1 && places <= mostPlaces) && `${places} places are not 1 to ${mostPlaces}`,
]

/** Of so many lanes one counts for all: they come together. */
const counted = 32

const lastProblem = ({ last }: StatementOf<"copyBoxes">, { threads }: Around) =>
  last === true && threads % counted !== 0 && `${threads} lanes are no groups of ${counted}, by which they come`

const numberProblems = (x: Expression, { alikeOf }: Around): Problems => [
  isNoInteger(x),
  alikeOf(x) < all && "lanes may give different numbers",
]

const isNoInteger = ({ dtype, width }: Expression) =>
  (dtype !== "i32" || width > 1) && "a number, a row or a column is no i32"

function copyProblems({ to, from }: BoxCopy, around: Around): Problems {
  return [
    ...[to.offset, from.row, from.column].map(isNoInteger),
    ...matrixProblems(from, around),
    ...targetProblems(to, from, around),
  ]
}

function matrixProblems({ array, rows, columns, stride, height, width }: Box, { arrayOf }: Around): Problems {
  const made = arrayOf(array)
  if (made === undefined || "kind" in made) return [`${array} is no buffer, and boxes of it are copied`]
  const bytes = storageBytes(made.storage)
  const whole = [rows, columns, stride, height, width].every((n) => Number.isInteger(n) && n >= 1)
  return [
    made.access !== "read" && `${array} is copied, and no buffer that is only read`,
    !(whole && columns <= stride) && `${array} is no matrix of rows of ${columns} of ${stride} elements`,
    (stride * bytes) % aligned !== 0 && `rows of ${array} are ${stride * bytes} bytes, no multiple of ${aligned}`,
    height > mostRows && `${height} rows are more than ${mostRows}`,
  ]
}

function targetProblems(
  { array, offset }: Place,
  { array: source, height, width }: Box,
  { arrayOf }: Around,
): Problems {
  const [made, given] = [arrayOf(array), arrayOf(source)]
  if (made === undefined || !("kind" in made) || made.space !== "shared")
    return [`${array} is copied to, and not shared`]
  const storage = made.storage ?? made.dtype
  const row = width * storageBytes(storage)
  const period = swizzledRows * width
  return [
    given !== undefined && storage !== (given.storage ?? given.dtype) && `${array} holds ${storage}`,
    made.swizzle !== row && `rows of ${row} bytes are copied to ${array}, swizzled by ${made.swizzle ?? 0}`,
    height % swizzledRows !== 0 && `${height} rows are no multiple of ${swizzledRows}`,
    isLiteral(offset) && offset.value % period !== 0 && `${offset.value} is no multiple of ${period}`,
  ]
}
