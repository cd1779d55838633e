/**
 * Expressions of the loop language for all lanes at once, with what they cost a lane and when their values are there.
 *
 *   acc + x[lane · 4] · w[lane · 4 + row]     two fetches that wait together, and a fused multiply-add after the later one
 *
 * Within a stretch of code without loops and barriers what does not wait for something may go on, as compilers and processors have it: a
 * value is there when the last of its operands is, and the time of its operation later. Equal expressions are computed once.
 */
import { fault } from "../../../runtime/errors.js"
import type { Expression, OperationNode } from "../../ir/nodes.js"
import { type Operation, operation } from "../../ir/operations.js"
import type { Patterns } from "./patterns.js"
import { computed, type Known, known, type LaneValue, slopesOf, together } from "./values.js"

/** What it takes to evaluate something, for one lane, in instructions and operations. */
export interface Effort {
  /** Instructions that are issued, arithmetic of indices included. */
  instructions: number
  /** Operations on values: those that data have a part in. */
  operations: number
}

/** Where an evaluation stands: what names hold, and what it is told of fetches. */
export interface Place {
  readonly effort: Effort
  /** What has been computed here and stays true. */
  readonly kept: Map<Expression, LaneValue>
  readonly outer: Place | undefined
  /** Cycles at which this stretch of code begins, and the instructions before it. */
  begin: number
  started: number
  /** Cycles at which the last of its operations so far can be issued. */
  issued: number
}

/** Cycles between two instructions of one subgroup. Assumed. */
const issueCycles = 1.5

/** A stretch of code takes as long as its instructions are issued one after the other, at least. */
export function settle(place: Place): void {
  place.issued = Math.max(place.issued, place.begin + issueCycles * (place.effort.instructions - place.started))
}

/** A new stretch of code begins. */
export function begins(place: Place, at: number): void {
  place.begin = at
  place.issued = at
  place.started = place.effort.instructions
}

export interface Names {
  readonly patterns: Patterns
  readonly variable: (name: string) => LaneValue
  readonly symbol: (name: string) => number
  readonly fetch: (array: string, offset: LaneValue, width: number, place: Place) => LaneValue
}

/** Cycles from an operation to one that waits for it, and instructions that it is. On NVIDIA hardware; special functions assumed. */
const plain = { latency: 4, instructions: 1 }
const special: Partial<Record<Operation, { readonly latency: number; readonly instructions: number }>> = {
  div: { latency: 30, instructions: 8 },
  rem: { latency: 40, instructions: 10 },
  sqrt: { latency: 30, instructions: 8 },
  exp: { latency: 30, instructions: 6 },
  exp2: { latency: 20, instructions: 2 },
  log: { latency: 30, instructions: 8 },
  tanh: { latency: 60, instructions: 20 },
  pow: { latency: 90, instructions: 30 },
  sin: { latency: 60, instructions: 20 },
  cos: { latency: 60, instructions: 20 },
  angle: { latency: 40, instructions: 10 },
  max: { latency: 8, instructions: 3 },
  min: { latency: 8, instructions: 3 },
}

/** The value of an expression; what of it is new is added to the effort of the place. */
export function laneValueOf(x: Expression, names: Names, place: Place): LaneValue {
  const once = new Map<Expression, LaneValue>()
  const find = (node: Expression): LaneValue | undefined => {
    const here = once.get(node)
    for (let p: Place | undefined = place; here === undefined && p !== undefined; p = p.outer) {
      const kept = p.kept.get(node)
      if (kept !== undefined) return kept
    }
    return here
  }
  const visit = (node: Expression): LaneValue => {
    switch (node.kind) {
      case "literal":
        return known(node.value)
      case "symbol":
        return known(names.symbol(node.name))
      case "variable":
        return names.variable(node.name)
      default: {
        const found = find(node)
        if (found !== undefined) return found
        const made = make(node)
        ;(made.steady ? place.kept : once).set(node, made)
        return made
      }
    }
  }
  const make = (node: Expression): LaneValue => {
    switch (node.kind) {
      case "operation":
        return operated(node, node.args.map(visit), names.patterns, place)
      case "fetch":
        return names.fetch(node.array, visit(node.offset), node.width, place)
      case "splat":
        return visit(node.of)
      case "ramp":
        return visit(node.of)
      case "lane":
        return visit(node.of)
      case "vector":
        return gathered(node.args.map(visit), names.patterns)
      default:
        throw fault(`${node.kind} has no place in loops`)
    }
  }
  return visit(x)
}

const gathered = (args: readonly LaneValue[], patterns: Patterns): LaneValue => ({
  known: false,
  pattern: together(args, patterns),
  ready: Math.max(0, ...args.map((a) => a.ready)),
  steady: args.every((a) => a.steady),
})

const allKnown = (args: readonly LaneValue[]): args is readonly Known[] => args.every((a) => a.known)

function operated(x: OperationNode, args: readonly LaneValue[], patterns: Patterns, place: Place): LaneValue {
  const { latency, instructions } = costOf(x)
  const steady = args.every((a) => a.steady)
  const issue = args.reduce((latest, a) => Math.max(latest, a.ready), place.begin)
  place.issued = Math.max(place.issued, issue)
  place.effort.instructions += instructions * x.width
  const ready = issue + latency
  const slopes = slopesOf(x.operation, args)
  if (allKnown(args)) {
    const ats = args.map((a) => a.at)
    const at = computed(operation(x.operation), x.args[0]!.dtype, x.dtype, ats)
    return { known: true, at, ready, steady, slopes }
  }
  place.effort.operations += x.width
  const truth = truthOf(x, args)
  if (truth !== undefined) return known(truth, ready, steady)
  return { known: false, pattern: together(args, patterns), ready, steady, slopes }
}

/** A condition whose known part is false for all lanes. */
function truthOf(x: OperationNode, args: readonly LaneValue[]): number | undefined {
  if (x.operation !== "and" && x.operation !== "or") return undefined
  const decided = x.operation === "and" ? 0 : 1
  return args.some((a) => a.known && a.at === decided) ? decided : undefined
}

function costOf(x: OperationNode): { readonly latency: number; readonly instructions: number } {
  const [a, b] = x.args
  const product = (y: Expression | undefined) => y?.kind === "operation" && y.operation === "mul"
  // A product that is added is one instruction with its sum, of integers too.
  if (x.operation === "mul" && x.dtype !== "u32") return { latency: plain.latency, instructions: 0.5 }
  if (x.operation === "add" || x.operation === "sub")
    return { latency: plain.latency, instructions: product(a) || product(b) ? 0.5 : 1 }
  if (x.operation === "floordiv" || x.operation === "floormod" || (x.dtype !== "f32" && x.operation === "div"))
    return b?.kind === "literal" && Number.isInteger(Math.log2(b.value)) ? plain : { latency: 16, instructions: 5 }
  if (x.dtype !== "f32") return plain
  return special[x.operation] ?? plain
}
