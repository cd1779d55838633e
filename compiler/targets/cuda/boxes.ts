/**
 * Boxes as CUDA: the copy engine brings them, asked by one lane, and counts their bytes where they arrive.
 *
 *   copy boxes n of arrivals: tile[o] = x[…][row : 128, column : 64]
 *   → if (lane_number() == 0) {
 *       expect_boxes(arrivals + n % 4, 16384);
 *       copy_box(tile + o, &matrix_0, column, row, arrivals + n % 4);
 *     }
 *     join_lanes();
 *   the same, the last lane    →    if (last_to_leave<8>(arrivals + n % 4)) { … }
 *   arrivals arrivals[4]    →   ask_for_matrix(&matrix_0); begin_arrivals<4>(arrivals, group != workgroup_number());
 *   arrived n of arrivals   →   wait_boxes(arrivals + n % 4, n / 4 % 2);
 *
 * The engine is told of a matrix by a parameter of the kernel, which is made where the kernel is launched; it knows of the swizzle.
 */
import type { ArtifactMatrix } from "../../../runtime/artifact.js"
import { fault } from "../../../runtime/errors.js"
import { apply, literal } from "../../ir/expression.js"
import { type Box, type LoopKernel, type StatementOf, storageBytes } from "../../ir/loop.js"
import { everyStatement } from "../../ir/loop-visit.js"
import type { Expression } from "../../ir/nodes.js"
import type { Context } from "../text/dialect.js"
import { printed, spelled } from "../text/expression.js"
import { argument } from "../text/literals.js"
import { placeTexts } from "./arrays.js"
import type { Fragments } from "./fragments.js"

/** The matrices of a kernel by the names of its parameters, as they are asked for. */
export interface Matrices {
  readonly all: ReadonlyMap<string, ArtifactMatrix>
  /** The parameter of a box's matrix. */
  nameOf(c: Context, box: Box): string
}

export function createMatrices({ buffers }: LoopKernel): Matrices {
  const [all, names] = [new Map<string, ArtifactMatrix>(), new Map<string, string>()]
  return {
    all,
    nameOf(c, { array, rows, columns, stride, height, width }) {
      const binding = buffers.findIndex((b) => b.name === array)
      const storage = buffers[binding]?.storage
      if (storage === undefined || storage === "bool") throw fault(`boxes of ${array}, which is no buffer of numbers`)
      const matrix = { binding, storage, rows, columns, stride, box: [height, width] as const }
      const key = JSON.stringify(matrix)
      const known = names.get(key) ?? c.names.declare(`=matrix ${all.size}`, true)
      names.set(key, known)
      all.set(known, matrix)
      return known
    },
  }
}

/** Bytes of what is known of a place. */
const arrivalBytes = 16
/** Lanes of which one is counted. */
const subgroup = 32

interface Declared {
  readonly matrices: Matrices
  /** The variable of the grid loop. */
  readonly cell: string
  readonly reserve: (bytes: number) => string
}

/** Declares arrivals in shared memory, and asks for what tells of matrices; a cell after the first of a workgroup finds arrivals of the one before. */
export function printArrivals(
  c: Context,
  known: Fragments,
  s: StatementOf<"arrivals">,
  { matrices, cell, reserve }: Declared,
): void {
  known.use("boxes")
  const own = everyStatement(known.kernel.body).flatMap((x) =>
    x.kind === "copyBoxes" && x.arrivals === s.name ? x.boxes.map(({ from }) => matrices.nameOf(c, from)) : [],
  )
  for (const matrix of new Set(own)) c.line(`ask_for_matrix(&${matrix});`)
  const name = c.names.declare(s.name, true)
  c.global(`Arrival* const ${name} = (Arrival*)(${reserve(s.places * arrivalBytes)});`)
  c.line(`begin_arrivals<${s.places}>(${name}, ${cell} != ${c.dialect.workgroup});`)
}

export function printBoxes(
  c: Context,
  known: Fragments,
  s: StatementOf<"copyBoxes">,
  { places, matrices }: { readonly places: number; readonly matrices: Matrices },
): void {
  known.use("boxes")
  const at = placeText(c, s.arrivals, s.number, places)
  const asks = s.last === true ? `last_to_leave<${known.kernel.threads / subgroup}>(${at})` : "lane_number() == 0"
  c.line(`if (${asks}) {`)
  c.indented(() =>
    c.names.scoped(() => {
      const bytesOf = ({ array, height, width }: Box) => height * width * storageBytes(known.arrays.get(array)!.storage)
      c.line(`expect_boxes(${at}, ${s.boxes.reduce((n, { from }) => n + bytesOf(from), 0)});`)
      for (const { to, from } of s.boxes) {
        // The engine permutes pieces by itself.
        const [place] = placeTexts(c, known.arrays, [to], true)
        const [column, row] = numbers(c, [from.column, from.row]).map(argument)
        c.line(`copy_box(${place}, &${matrices.nameOf(c, from)}, ${column}, ${row}, ${at});`)
      }
    }),
  )
  c.line("}")
  c.line("join_lanes();")
}

export function printArrived(c: Context, known: Fragments, s: StatementOf<"arrived">, places: number): void {
  known.use("boxes")
  const round = apply("floormod", apply("floordiv", s.number, literal(places)), literal(2))
  const at = placeText(c, s.arrivals, s.number, places)
  const [odd] = numbers(c, [round])
  c.line(`wait_boxes(${at}, ${odd});`)
}

const placeText = (c: Context, arrivals: string, number: Expression, places: number): string => {
  const [slot] = numbers(c, [apply("floormod", number, literal(places))])
  return `${spelled(c, arrivals)} + ${argument(slot!)}`
}

const numbers = (c: Context, all: readonly Expression[]): readonly string[] =>
  printed(
    { ...c, numbers: true },
    all.flatMap((x) => c.dialect.lowered(c, x)),
  )
