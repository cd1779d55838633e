/**
 * Prints statements: one case each, with the names of a body in a scope of its own.
 *
 *   for g (grid)     → for (g = workgroup; g < n; g += workgroups) { … }     uniform for all lanes of a workgroup
 *   for l (lane)     → { l = the number of this lane; … }
 *   for i (serial)   → for (i = 0; i < 6; i += 1) { … }
 *   for i (unroll)   → the body once per iteration, with the number in place of i
 */
import { isLiteral, literal } from "../../ir/expression.js"
import type { Statement } from "../../ir/loop.js"
import { isJoint } from "../../ir/loop-visit.js"
import type { Expression } from "../../ir/nodes.js"
import type { Context } from "./dialect.js"
import { partName, printed } from "./expression.js"
import { bare } from "./literals.js"
import { isNonNegative } from "./signs.js"

export function printBody(c: Context, body: readonly Statement[]): void {
  for (const s of body) printStatement(c, s)
}

function printStatement(c: Context, s: Statement): void {
  c.dialect.before?.(c, s)
  if (isJoint(s)) {
    c.dialect.fragments(c, s)
    return
  }
  switch (s.kind) {
    case "for":
      printFor(c, s)
      break
    case "if":
      printIf(c, s)
      break
    case "block":
      c.line("{")
      scope(c, s.body)
      c.line("}")
      break
    case "let":
      printLet(c, s)
      break
    case "assign": {
      const parts = c.dialect.lowered(c, s.value)
      const texts = printed(c, parts, parts.length > 1 ? parts : [])
      for (const [i, text] of texts.entries())
        c.line(`${c.names.find(partName(s.name, parts.length, i))} = ${bare(text)};`)
      break
    }
    case "alloc": {
      if (s.layout !== undefined && c.dialect.holds !== undefined) {
        c.dialect.holds(c, s)
        break
      }
      const shared = s.space === "shared"
      const write = shared ? c.global : c.line
      write(c.dialect.array(s, c.names.declare(s.name, shared)))
      break
    }
    case "store":
      c.dialect.store(c, s)
      break
    case "shuffle":
      printShuffle(c, s)
      break
    case "barrier":
      c.dialect.barrier(c)
      break
    case "prefetch":
    case "await":
    case "release":
      c.dialect.early(c, s)
      break
    default:
      s satisfies never
  }
}

function scope(c: Context, body: readonly Statement[]): void {
  c.names.scoped(() => c.indented(() => printBody(c, body)))
}

/** An expression that is one in the text. */
const one = (c: Context, x: Expression): string => printed(c, c.dialect.lowered(c, x))[0]!

function printIf(c: Context, s: Statement & { kind: "if" }): void {
  c.line(`if (${bare(one(c, s.condition))}) {`)
  scope(c, s.body)
  if (s.otherwise.length > 0) {
    c.line("} else {")
    scope(c, s.otherwise)
  }
  c.line("}")
}

function printFor(c: Context, s: Statement & { kind: "for" }): void {
  const before = c.nonNegative.has(s.variable)
  const extent = c.dialect.lowered(c, s.extent)[0]!
  c.nonNegative.add(s.variable)
  c.definitions.delete(s.variable)
  if (s.bind === "serial" || s.bind === "unroll") c.counters.add(s.variable)
  else c.counters.delete(s.variable)
  if (s.bind === "unroll" && isLiteral(extent) && !c.dialect.rolls?.(s)) printUnrolled(c, s, extent.value)
  else if (s.bind === "lane") printLanes(c, s)
  else {
    const limit = limitText(c, s, extent)
    c.names.scoped(() => {
      const variable = c.names.declare(s.variable)
      const [start, step] = s.bind === "grid" ? [c.dialect.workgroup, c.dialect.workgroups] : ["0", "1"]
      for (const line of c.dialect.loop({ variable, start, limit, step }, s)) c.line(line)
      c.indented(() => printBody(c, s.body))
      c.line("}")
    })
  }
  if (!before) c.nonNegative.delete(s.variable)
}

function limitText(c: Context, s: Statement & { kind: "for" }, extent: Expression): string {
  if (isLiteral(extent)) return c.dialect.extent(s, extent.value)
  const [text] = printed(c, [extent])
  if (extent.kind === "symbol") return text!
  const limit = c.temporary()
  c.line(c.dialect.declaration(limit, extent, bare(text!), false))
  return limit
}

function printLanes(c: Context, s: Statement & { kind: "for" }): void {
  const all = isLiteral(s.extent) && s.extent.value === c.threads
  const extent = all ? "" : one(c, s.extent)
  c.names.scoped(() => {
    const name = c.names.declare(s.variable)
    c.line("{")
    c.indented(() => {
      c.line(c.dialect.declaration(name, { dtype: "i32", width: 1 }, c.dialect.laneNumber, false))
      if (all) {
        printBody(c, s.body)
        return
      }
      c.line(`if (${name} < ${extent}) {`)
      scope(c, s.body)
      c.line("}")
    })
    c.line("}")
  })
}

function printUnrolled(c: Context, s: Statement & { kind: "for" }, extent: number): void {
  const declares = s.body.some((x) => x.kind === "let" || x.kind === "alloc" || x.kind === "shuffle")
  const shadowed = c.unrolled.get(s.variable)
  for (let i = 0; i < extent; i++) {
    c.unrolled.set(s.variable, literal(i))
    if (declares) printStatement(c, { kind: "block", body: s.body })
    else printBody(c, s.body)
  }
  if (shadowed === undefined) c.unrolled.delete(s.variable)
  else c.unrolled.set(s.variable, shadowed)
}

function printLet(c: Context, s: Statement & { kind: "let" }): void {
  const parts = c.dialect.lowered(c, s.value)
  const texts = printed(c, parts)
  const sign = s.mutable ? c.dialect.counters?.has(s.name) : isNonNegative(s.value, c.nonNegative)
  if (sign) c.nonNegative.add(s.name)
  else c.nonNegative.delete(s.name)
  for (const [i, text] of texts.entries()) {
    const own = partName(s.name, parts.length, i)
    c.counters.delete(own)
    if (s.mutable) c.definitions.delete(own)
    else c.definitions.set(own, parts[i]!)
    c.line(c.dialect.declaration(c.names.declare(own), parts[i]!, bare(text), s.mutable))
  }
}

function printShuffle(c: Context, s: Statement & { kind: "shuffle" }): void {
  const parts = c.dialect.lowered(c, s.value)
  for (const [i, text] of printed(c, parts, parts.length > 1 ? parts : []).entries()) {
    const part = parts[i]!
    const value = c.dialect.shuffle(text, part, s.mask)
    const name = partName(s.name, parts.length, i)
    const known = c.names.find(name)
    c.line(
      known === undefined ? c.dialect.declaration(c.names.declare(name), part, value, false) : `${known} = ${value};`,
    )
  }
}
