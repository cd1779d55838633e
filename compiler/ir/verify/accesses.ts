/**
 * Whether every access of a kernel lies in its array, whatever the sizes are.
 *
 *   for i < seq { y[i * 64 + lane] = … }      y of 8192, lane < 64, seq ≤ 128            proven
 *   y[past + i] = …                           y of 4096, past ≤ 4096                     proven where past + seq ≤ 4096 is known
 *   y[index[i]] = …                           what memory holds may be anything          not proven; min(max(index[i], 0), n) is
 *
 * Assumed is that symbols lie between 0 and their maxima, and the forms that are given to be at least 0. The proof is of the loops as they are
 * emitted, of buffers, shared and register arrays, at every width; an offset that may wrap is not proven, and neither are the counters of loops.
 * Conditions of `select` prove nothing: targets evaluate both sides.
 */
import { literal } from "../expression.js"
import { spansOf } from "../fragments/spans.js"
import { type BoxCopy, type LoopKernel, type Place, type Statement, workgroupNames } from "../loop.js"
import { isJoint } from "../loop-visit.js"
import type { Expression } from "../nodes.js"
import { printStatement } from "../print/loop.js"
import { createAtoms } from "./atoms.js"
import { type Counters, createCounters } from "./counters.js"
import { createFacts, type Facts } from "./facts.js"
import { type Form, highest, minus, number, plus, times } from "./forms.js"
import { type Needed, neededFor } from "./needed.js"
import { createValues, type Values } from "./values.js"

/** An access that may lie outside of its array, or a loop whose counter may wrap. */
export interface UnprovenAccess {
  readonly statement: Statement
  readonly array: string
  readonly offset: Expression
  /** Elements from there on; of a tile as many as lie from its first to its last. */
  readonly width: number
}

export interface AccessProof {
  readonly unproven: readonly UnprovenAccess[]
  readonly accesses: number
}

const mostI32 = 2 ** 31 - 1
/** Workgroups that a device may launch beyond those of the kernel, to fill a row of them. */
const spareGroups = 2 ** 16

interface Proof {
  readonly kernel: LoopKernel
  readonly needed: Needed
  readonly values: Values
  readonly facts: Facts
  readonly counters: Counters
  /** Elements of the arrays that are visible. */
  readonly sizes: Map<string, Form>
  readonly unproven: UnprovenAccess[]
  accesses: number
}

/** @param assumed integer expressions of size symbols that are at least 0 whenever the kernel runs */
export function proveAccesses(kernel: LoopKernel, assumed: readonly Expression[] = []): AccessProof {
  const atoms = createAtoms()
  const facts = createFacts(atoms)
  const counters = createCounters(atoms, facts)
  const values = createValues(atoms, facts, counters.valueOf)
  const needed = neededFor(kernel.body)
  const proof: Proof = { kernel, needed, values, facts, counters, sizes: new Map(), unproven: [], accesses: 0 }
  for (const x of assumed) facts.learn(values.of(x))
  for (const b of kernel.buffers) proof.sizes.set(b.name, values.of(b.size))
  for (const name of workgroupNames) values.name(name, values.counter(kernel.groups + spareGroups))
  visitBody(kernel.body, proof)
  return { unproven: proof.unproven, accesses: proof.accesses }
}

/** What is not proven, for people. */
export const describeUnproven = ({ statement, array, width }: UnprovenAccess): string =>
  `${width} elements of '${array}' may lie outside of it, in: ${printStatement(statement)}`

function visitBody(body: readonly Statement[], proof: Proof): void {
  proof.facts.within(() => {
    for (const [i, s] of body.entries()) {
      if ((s.kind === "let" && s.mutable) || (s.kind === "alloc" && s.dtype === "i32"))
        proof.counters.declare(s, body.slice(i + 1))
      visit(s, proof)
    }
  })
}

function visit(s: Statement, proof: Proof): void {
  const { values, facts } = proof
  values.next()
  checkAccesses(s, proof)
  if (isJoint(s)) return
  switch (s.kind) {
    case "for":
      visitLoop(s, proof)
      return
    case "if": {
      const { first, second } = values.cases(s.condition)
      for (const [body, known] of [
        [s.body, first],
        [s.otherwise, second],
      ] as const)
        facts.within(() => {
          for (const form of known) facts.learn(form)
          visitBody(body, proof)
        })
      return
    }
    case "block":
      visitBody(s.body, proof)
      return
    case "let":
      values.name(s.name, s.mutable || !proof.needed.names.has(s.name) ? undefined : s.value)
      return
    case "shuffle":
      values.name(s.name, undefined)
      return
    case "alloc":
      proof.sizes.set(s.name, number(s.size))
      return
    case "assign":
    case "store":
      proof.counters.pass(s)
      return
    case "barrier":
    case "prefetch":
    case "await":
    case "release":
      return
    default:
      s satisfies never
  }
}

function visitLoop(s: Statement & { kind: "for" }, proof: Proof): void {
  const { values, facts, kernel } = proof
  const extent = values.of(s.extent)
  // Workgroups take turns: the counter goes on by their number.
  const step = s.bind === "grid" ? kernel.groups + spareGroups : 1
  if (highest(extent) + step - 1 > mostI32 && !facts.proves(plus(times(extent, -1), mostI32 + 1 - step)))
    proof.unproven.push({ statement: s, array: s.variable, offset: s.extent, width: step })
  facts.within(() => {
    const counter = values.counter(Math.max(0, Math.min(highest(extent), mostI32) - 1))
    values.name(s.variable, counter)
    for (const form of values.positive(s.extent)) facts.learn(form)
    facts.learn(plus(minus(whereItTurns(extent), counter), -1))
    proof.counters.within(s, counter, highest(extent), () => visitBody(s.body, proof))
  })
}

/** In the body of a loop of max(0, x) turns there are x. */
function whereItTurns(extent: Form): Form {
  const [term, ...others] = extent.terms
  if (term?.atom.kind !== "max" || others.length > 0 || term.factor !== 1) return extent
  const [a, b] = term.atom.of.map((x) => plus(x, extent.constant)) as [Form, Form]
  return highest(a) <= 0 ? b : highest(b) <= 0 ? a : extent
}

function checkAccesses(s: Statement, proof: Proof): void {
  for (const x of proof.needed.fetches.get(s) ?? []) check(s, x, number(x.width), proof)
  if (s.kind === "store") check(s, s, number(s.value.width), proof)
  if (s.kind === "copy") checkCopy(s, proof)
  if (s.kind === "copyBoxes") for (const box of s.boxes) checkBox(s, box, proof)
  if (s.kind !== "multiply" && s.kind !== "fill" && s.kind !== "drain") return
  for (const { place, span } of spansOf(s)) {
    const stride = proof.values.of(span.stride)
    // Tiles lie forwards.
    const length = proof.facts.proves(stride) ? plus(times(stride, span.strides), span.rest) : undefined
    check(s, place, length ?? number(Number.POSITIVE_INFINITY), proof)
  }
}

/** What is not valid is not read. */
function checkCopy(s: Statement & { kind: "copy" }, proof: Proof): void {
  const { values, facts } = proof
  check(s, s.to, number(s.width), proof)
  facts.within(() => {
    if (s.valid !== undefined) for (const form of values.cases(s.valid).first) facts.learn(form)
    check(s, s.from, number(s.width), proof)
  })
}

/** Of a matrix nothing is read beyond its rows and columns, wherever the box is: the matrix has to lie in its buffer. */
function checkBox(s: Statement, { to, from }: BoxCopy, proof: Proof): void {
  const { array, rows, columns, stride, height, width } = from
  check(s, to, number(height * width), proof)
  check(s, { array, offset: literal(0) }, number((rows - 1) * stride + columns), proof)
}

function check(statement: Statement, { array, offset }: Place, length: Form, proof: Proof): void {
  const { values, facts, sizes } = proof
  proof.accesses++
  const at = values.of(offset)
  const size = sizes.get(array)
  const fits = size !== undefined && Number.isFinite(length.constant)
  if (fits && facts.proves(at) && facts.proves(minus(minus(size, at), length))) return
  proof.unproven.push({ statement, array, offset, width: highest(length) })
}
