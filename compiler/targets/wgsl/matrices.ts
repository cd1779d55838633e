/**
 * Products on matrix units as WGSL: subgroup matrices, of which the language does not tell where elements lie.
 *
 *   alloc c : 16 registers of 2 fragments     → var c_0: subgroup_matrix_result<f32, 16, 16>; var c_1: …
 *   fill a[0] = tile[o] stride 64             → a_0 = subgroupMatrixLoad<subgroup_matrix_left<f16, 16, 16>, row_major>(&tile, o, 64);
 *   multiply c[8] += a[0] * b[0]              → c_1 = subgroupMatrixMultiplyAccumulate(a_0, b_0, c_1);
 *   drain sums[o] = c[8] stride 16            → subgroupMatrixStore<row_major>(&sums, o, c_1, 16);
 *
 * Fragments are variables, for arrays of them do not stay in registers. Compilers want offsets that they see to be the same for all lanes of a
 * subgroup: what depends on the number of a lane is printed as of the first lane of its subgroup, where it is the same.
 */
import { fault } from "../../../runtime/errors.js"
import { type MatrixAccess, type MatrixSpelling, matrixShape, matrixSpellings } from "../../../runtime/matrices.js"
import { add, isLiteral, literal, mul, rewriter, variable } from "../../ir/expression.js"
import { type Atom, atoms, fragmentSize, shapeOf } from "../../ir/fragments/atoms.js"
import type { OperandName, Place, StatementOf } from "../../ir/loop.js"
import type { Expression } from "../../ir/nodes.js"
import { nodesOf } from "../../ir/query.js"
import type { Context } from "../text/dialect.js"
import { printed } from "../text/expression.js"
import { bare } from "../text/literals.js"
import { type Layouts, layoutOf } from "./arrays.js"

const matrixNames: Readonly<Record<OperandName, string>> = {
  a: "subgroup_matrix_left",
  b: "subgroup_matrix_right",
  c: "subgroup_matrix_result",
}

/** Atoms that subgroup matrices are: their results begin at zero, as variables do. */
export const isMatrixAtom = (name: string): boolean => {
  const atom = atoms.get(name)
  return atom !== undefined && (["a", "b", "c"] as const).every((operand) => atom[operand].layout === undefined)
}

function matrixType(atom: Atom, operand: OperandName): string {
  const { rows, columns } = shapeOf(atom, operand)
  return `${matrixNames[operand]}<${atom[operand].storage}, ${columns}, ${rows}>`
}

const fragmentName = (array: string, number: number) => `${array}=${number}`

/** The number of a subgroup, as the head of the function declares it. */
export const subgroupName = "subgroup"

const subgroup = `=${subgroupName}`

/** Declares a variable for each fragment. */
export function printFragments(c: Context, s: StatementOf<"alloc">): void {
  const { atom: name, operand } = s.layout!
  const atom = atoms.get(name)!
  const count = s.size / fragmentSize(atom, operand)
  for (let i = 0; i < count; i++)
    c.line(`var ${c.names.declare(fragmentName(s.name, i))}: ${matrixType(atom, operand)};`)
}

/** @param lanes the variables that number the lanes */
export function printMatrices(
  c: Context,
  layouts: Layouts,
  lanes: ReadonlySet<string>,
  spelling: MatrixSpelling,
  s: StatementOf<"multiply" | "fill" | "drain">,
): void {
  const atom = atoms.get(s.atom)!
  const { load, store } = matrixSpellings[spelling]
  const access = (place: Place, from: StatementOf<"fill" | "drain">, storage: string): MatrixAccess => {
    const { storage: found, unit } = layoutOf(layouts, place.array)
    if (found !== storage || unit !== 1) throw fault(`'${place.array}' does not lie as matrices of ${storage} do`)
    const [offset, stride] = [place.offset, from.stride].map((x) => `u32(${bare(uniform(c, lanes, x))})`)
    return { array: c.names.find(place.array)!, offset: offset!, stride: stride!, byColumns: from.transposed }
  }
  switch (s.kind) {
    case "multiply": {
      const [to, a, b] = (["c", "a", "b"] as const).map((operand) => fragment(c, lanes, atom, operand, s[operand]))
      if (s.fresh === true) c.line(`${to} = ${matrixType(atom, "c")}();`)
      c.line(`${to} = subgroupMatrixMultiplyAccumulate(${a}, ${b}, ${to});`)
      return
    }
    case "fill":
      for (let i = 0; i < s.count; i++) {
        const to = { ...s.to, offset: add(s.to.offset, literal(i * fragmentSize(atom, s.operand))) }
        const from = { ...s.from, offset: add(s.from.offset, literal(i * s.step)) }
        const value = load(matrixType(atom, s.operand), access(from, s, atom[s.operand].storage))
        c.line(`${fragment(c, lanes, atom, s.operand, to)} = ${value};`)
      }
      return
    case "drain":
      c.line(`${store(fragment(c, lanes, atom, "c", s.from), access(s.to, s, atom.c.storage))};`)
      return
    default:
      s satisfies never
  }
}

/** The variable of a fragment. */
function fragment(c: Context, lanes: ReadonlySet<string>, atom: Atom, operand: OperandName, place: Place): string {
  const offset = opened(c, lanes, place.offset)
  if (!isLiteral(offset)) throw fault(`which fragment of '${place.array}' is meant is known when the kernel runs only`)
  return c.names.find(fragmentName(place.array, offset.value / fragmentSize(atom, operand)))!
}

/** A number that is the same for all lanes of a subgroup, as text that shows it. */
function uniform(c: Context, lanes: ReadonlySet<string>, x: Expression): string {
  c.nonNegative.add(subgroup)
  return printed(c, [opened(c, lanes, x)])[0]!
}

/** An expression over what its names stand for, in the first lane of a subgroup. */
function opened(c: Context, lanes: ReadonlySet<string>, whole: Expression): Expression {
  const isLaneOf = (x: Expression) => x.kind === "variable" && lanes.has(x.name)
  const isLanes = (x: Expression) => isLiteral(x) && x.value === matrixShape.lanes
  const open = rewriter((x, again) => {
    if (x.kind === "operation" && x.operation === "floordiv" && isLaneOf(x.args[0]!) && isLanes(x.args[1]!))
      return variable(subgroup)
    if (x.kind !== "variable") return undefined
    if (lanes.has(x.name)) return mul(variable(subgroup), literal(matrixShape.lanes))
    const known = c.definitions.get(x.name)
    if (known === undefined || known.width !== 1 || nodesOf([known], "fetch").length > 0) return x
    return again(known)
  })
  return open(c.dialect.lowered(c, whole)[0]!)
}
