import { describe, expect, it } from "vitest"
import { add, apply, fetch, literal, load, mul, splat, symbol, variable } from "../../compiler/ir/expression.js"
import type { LoopBuffer, LoopKernel, Statement } from "../../compiler/ir/loop.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { printLoop } from "../../compiler/ir/print/loop.js"
import { verifyLoop } from "../../compiler/ir/verify/loop.js"

const n = (x: number) => literal(x)
const f = (x: number) => literal(x, "f32")
const [block, lane, i] = [variable("block"), variable("lane"), variable("i")]
const length = symbol("length", 64, 16)

const buffers: readonly LoopBuffer[] = [
  { name: "x", dtype: "f32", storage: "bf16", size: mul(length, n(4)), access: "read" },
  { name: "y", dtype: "f32", storage: "f32", size: n(64), access: "write" },
  { name: "h", dtype: "f32", storage: "f16", size: n(64), access: "readwrite" },
  { name: "count", dtype: "i32", storage: "i32", size: n(4), access: "readwrite" },
]
const laneLoop = (...body: Statement[]): Statement => ({
  kind: "for",
  variable: "lane",
  extent: n(4),
  bind: "lane",
  body,
})
const gridLoop = (...body: Statement[]): Statement => ({
  kind: "for",
  variable: "block",
  extent: n(16),
  bind: "grid",
  body,
})
const kernelOf = (root: readonly Statement[], change: Partial<LoopKernel> = {}): LoopKernel => ({
  name: "test",
  buffers,
  symbols: [],
  threads: 4,
  groups: 16,
  body: root,
  ...change,
})
const kernel = (...body: Statement[]) => kernelOf([gridLoop(laneLoop(...body))])
const loop = (extent: Expression, bind: "serial" | "unroll", ...body: Statement[]): Statement => ({
  kind: "for",
  variable: "i",
  extent,
  bind,
  body,
})
const when = (condition: Expression, ...body: Statement[]): Statement => ({
  kind: "if",
  condition,
  body,
  otherwise: [],
})
const store = (array: string, offset: Expression, value: Expression): Statement => ({
  kind: "store",
  array,
  offset,
  value,
})
const bind = (name: string, value: Expression, mutable = false): Statement => ({ kind: "let", name, value, mutable })
const alloc = (name: string, space: "shared" | "register", size = 4): Statement & { kind: "alloc" } => ({
  kind: "alloc",
  name,
  dtype: "f32",
  size,
  space,
})
const barrier: Statement = { kind: "barrier" }
/** A kernel whose workgroups do something before their cells. */
const early = (prologue: readonly Statement[], ...cell: Statement[]) =>
  kernelOf([alloc("row", "shared"), laneLoop(...prologue, gridLoop(...cell))])
const fill = store("row", lane, fetch("x", lane, "f32"))
const first = apply("eq", lane, n(0))

describe("the text of a kernel", () => {
  it("shows every statement on a line", () => {
    const k = kernelOf(
      [
        gridLoop(
          alloc("tile", "shared", 8),
          laneLoop(
            store("tile", lane, fetch("x", add(mul(block, n(8)), lane), "f32")),
            barrier,
            bind("total", f(0), true),
            {
              kind: "for",
              variable: "key.3",
              extent: add(length, n(1)),
              bind: "serial",
              body: [
                {
                  kind: "assign",
                  name: "total",
                  value: apply("add", variable("total", "f32"), fetch("tile", n(3), "f32")),
                },
              ],
            },
            {
              kind: "if",
              condition: first,
              body: [store("h", n(0), apply("mul", fetch("x", n(0), "f32", 4), splat(variable("total", "f32"), 4)))],
              otherwise: [store("count", n(1), lane)],
            },
            { kind: "block", body: [bind("v", fetch("x", n(4), "f32", 2)), alloc("c", "register")] },
            { kind: "shuffle", name: "other", value: variable("total", "f32"), mask: 2 },
          ),
        ),
      ],
      { symbols: ["length"] },
    )
    expect(
      printLoop(k),
    ).toBe(`kernel test(x: f32 as bf16 [(length * 4)] read, y: f32 [64] write, h: f32 as f16 [64] readwrite, count: i32 [4] readwrite)
symbols length
threads 4, groups 16
for block < 16 grid {
  shared tile: f32[8]
  for lane < 4 lane {
    tile[lane] = x[((block * 8) + lane)]
    barrier
    var total: f32 = 0.0
    for key.3 < (length + 1) serial {
      total = (total + tile[3])
    }
    if (lane == 0) {
      h[0 : 4] = (x[0 : 4] * splat4(total))
    } else {
      count[1] = lane
    }
    {
      let v: f32x2 = x[4 : 2]
      register c: f32[4]
    }
    shuffle other: f32 = total across 2
  }
}`)
    expect(verifyLoop(k)).toEqual([])
  })
})

/** Codes and messages, one a line. */
const problems = (k: LoopKernel) => verifyLoop(k).map(({ code, message }) => `${code}: ${message}`)

describe("the verifier accepts", () => {
  const accepted: Record<string, LoopKernel> = {
    "the same name in scopes side by side": kernel(loop(n(2), "serial"), loop(n(3), "unroll")),
    "a barrier in a loop over a let of the grid's variable": kernel(
      bind("rows", add(block, n(1))),
      loop(variable("rows"), "serial", when(apply("lt", i, block), barrier)),
    ),
    "a prologue, and cells of which all lanes run the same": early(
      [when(apply("lt", variable("workgroup"), n(16)), fill, barrier), bind("r", fetch("row", n(0), "f32"))],
      alloc("tile", "shared"),
      barrier,
      loop(add(block, n(1)), "serial", barrier),
      store("y", add(mul(block, n(4)), lane), variable("r", "f32")),
    ),
    "a let beside the lane loop": kernelOf([
      gridLoop(bind("row", mul(block, n(2))), laneLoop(store("y", add(variable("row"), lane), f(1)))),
    ]),
  }
  for (const [what, k] of Object.entries(accepted)) it(what, () => expect(problems(k)).toEqual([]))
})

/** No constructor makes it: `apply` repeats a scalar in all lanes. */
const mixed: Expression = {
  kind: "operation",
  dtype: "f32",
  width: 4,
  operation: "add",
  args: [fetch("x", n(0), "f32", 4), f(1)],
}

describe("the verifier refuses", () => {
  const scalar = variable("s", "f32")
  const refused: Record<string, [LoopKernel, ...string[]]> = {
    "a prologue that stores to a buffer": [
      early([store("y", lane, f(1))]),
      "access: every workgroup would store this, before its cells, in: y[lane] = 1.0",
    ],
    "cells under a condition, and what follows them": [
      kernelOf([laneLoop(when(first, gridLoop()))]),
      "shape: this may not stand in front of the grid loop, in: for block < 16 grid {",
      "shape: 0 grid loops instead of one, in: kernel test",
      "shape: something follows the grid loop, in: kernel test",
    ],
    "what follows the cells": [
      kernelOf([laneLoop(gridLoop(), fill)]),
      "name: 'row' is not declared, in: row[lane] = x[lane]",
      "shape: something follows the grid loop, in: kernel test",
    ],
    "a shared array in a prologue": [
      early([alloc("tile", "shared")]),
      "shape: this may not stand in front of the grid loop, in: shared tile: f32[4]",
    ],
    "a barrier in a cell that some lanes run": [
      early([fill], when(apply("lt", lane, block), barrier)),
      "barrier: a barrier under control flow that may differ between lanes, in: barrier",
    ],
    "a name before its declaration": [
      kernel(store("y", variable("k"), scalar), bind("s", f(1))),
      "name: 'k' is not declared, in: y[k] = s",
      "name: 's' is not declared, in: y[k] = s",
    ],
    "a name after its scope": [
      kernel({ kind: "block", body: [bind("s", f(1))] }, store("y", n(0), scalar)),
      "name: 's' is not declared, in: y[0] = s",
    ],
    "a name twice in a scope": [
      kernel(bind("s", f(1)), bind("s", f(2))),
      "name: 's' is declared already, in: let s: f32 = 2.0",
    ],
    "a name that hides an outer one": [
      kernel(loop(n(2), "serial", bind("x", f(1)))),
      "name: 'x' is declared already, in: let x: f32 = 1.0",
    ],
    "an array as a variable, a variable as an array": [
      kernel(bind("s", variable("x")), store("lane", n(0), f(1))),
      "name: 'x' is not a variable, in: let s: i32 = x",
      "name: 'lane' is not an array, in: lane[0] = 1.0",
    ],
    "another dtype than declared": [
      kernel(bind("s", n(1)), store("y", n(0), scalar)),
      "dtype: 's' is i32, not f32, in: y[0] = s",
    ],
    "another width than declared": [
      kernel(bind("s", f(1)), store("y", n(0), variable("s", "f32", 4))),
      "width: 's' is f32, not f32x4, in: y[0 : 4] = s",
    ],
    "a fetch of another dtype": [
      kernel(store("count", n(0), fetch("x", n(0), "i32"))),
      "dtype: an element of x is f32, not i32, in: count[0] = x[0]",
    ],
    "a store of another dtype": [
      kernel(store("y", n(0), lane)),
      "dtype: an element of y is f32, not i32, in: y[0] = lane",
    ],
    "a width that no target has": [
      kernel(bind("v", fetch("x", n(0), "f32", 3))),
      "width: x[0 : 3] has 3 lanes, not 1, 2, 4 or 8, in: let v: f32x3 = x[0 : 3]",
    ],
    "an operation of unlike widths": [
      kernel(bind("v", mixed)),
      "width: add of f32x4, f32; the widths differ, in: let v: f32x4 = (x[0 : 4] + 1.0)",
    ],
    "an offset that is no index": [
      kernel(store("y", f(1), fetch("x", splat(n(0), 4), "f32"))),
      "dtype: the offset into x is i32x4, not one integer, in: y[1.0] = x[splat4(0)]",
      "dtype: the offset into y is f32, not one integer, in: y[1.0] = x[splat4(0)]",
    ],
    "a node of the kernel language": [
      kernel(store("y", n(0), load("x", [n(0)], "f32"))),
      "node: load is not of the loop language: x[0], in: y[0] = x[0]",
    ],
    "a store to a read-only buffer": [
      kernel(store("x", n(0), splat(f(1), 2))),
      "access: x is read-only, in: x[0 : 2] = splat2(1.0)",
    ],
    "a store of half a word": [
      kernel(store("h", lane, f(1))),
      "packed: h holds two elements in a word, and one alone is stored, in: h[lane] = 1.0",
    ],
    "a store of half a word of the workgroup's": [
      kernelOf([gridLoop({ ...alloc("tile", "shared"), storage: "bf16" }, laneLoop(store("tile", lane, f(1))))]),
      "packed: tile holds two elements in a word, and one alone is stored, in: tile[lane] = 1.0",
    ],
    "integers as halves": [
      kernel({ ...alloc("tile", "register"), dtype: "i32", storage: "f16" }),
      "dtype: tile is i32, which f16 does not hold, in: register tile: i32 as f16[4]",
    ],
    "an assignment to what is not mutable": [
      kernel(
        bind("s", f(1)),
        { kind: "assign", name: "s", value: f(2) },
        { kind: "assign", name: "lane", value: n(2) },
      ),
      "access: 's' is not mutable, in: s = 2.0",
      "access: 'lane' is not mutable, in: lane = 2",
    ],
    "an assignment of another dtype": [
      kernel(bind("s", f(1), true), { kind: "assign", name: "s", value: n(2) }),
      "dtype: 's' is f32, not i32, in: s = 2",
    ],
    "a condition that is no bool": [kernel(when(lane)), "dtype: the condition is i32, not bool, in: if lane {"],
    "an extent that is no i32": [
      kernel(loop(f(2), "serial")),
      "dtype: the extent is f32, not i32, in: for i < 2.0 serial {",
    ],
    "an unrolled loop without a literal extent": [
      kernel(loop(block, "unroll")),
      "number: the extent of an unrolled loop is not a literal, in: for i < block unroll {",
    ],
    "a divisor that is no positive literal": [
      kernel(bind("s", apply("floordiv", block, lane))),
      "number: the divisor of (block // lane) is not a positive literal, in: let s: i32 = (block // lane)",
    ],
    "a kernel without loops": [kernelOf([]), "shape: 0 grid loops instead of one, in: kernel test"],
    "two grid loops": [
      kernelOf([gridLoop(laneLoop()), gridLoop(laneLoop())]),
      "shape: 2 grid loops instead of one, in: kernel test",
    ],
    "a grid loop without a lane loop": [kernelOf([gridLoop()]), "shape: 0 lane loops instead of one, in: kernel test"],
    "a lane loop of another length": [
      kernelOf([gridLoop(laneLoop())], { threads: 8 }),
      "shape: the lane loop does not have the kernel's 8 threads, in: for lane < 4 lane {",
    ],
    "a statement beside the lane loop": [
      kernelOf([gridLoop(store("y", block, f(1)), laneLoop())]),
      "shape: this may not stand between the grid loop and the lane loop, in: y[block] = 1.0",
    ],
    "a statement outside of the grid loop": [
      kernelOf([bind("s", f(1)), gridLoop(laneLoop())]),
      "shape: this may not stand outside of the grid loop, in: let s: f32 = 1.0",
    ],
    "a shared array in the lane loop": [
      kernel(alloc("t", "shared")),
      "shape: this may not stand in the lane loop, in: shared t: f32[4]",
    ],
    "a register array beside the lane loop": [
      kernelOf([gridLoop(alloc("t", "register"), laneLoop())]),
      "shape: this may not stand between the grid loop and the lane loop, in: register t: f32[4]",
    ],
    "an array without elements": [
      kernel(alloc("t", "register", 0)),
      "number: the size is 0, not a whole number from 1 on, in: register t: f32[0]",
    ],
    "a barrier under a condition on the lane": [
      kernel(when(first, barrier)),
      "barrier: a barrier under control flow that may differ between lanes, in: barrier",
    ],
    "a barrier in a loop over something derived from the lane": [
      kernel(bind("rows", add(lane, n(1))), loop(variable("rows"), "serial", barrier)),
      "barrier: a barrier under control flow that may differ between lanes, in: barrier",
    ],
    "a barrier in a loop whose extent is fetched": [
      kernel(loop(fetch("count", n(0), "i32"), "serial", barrier)),
      "barrier: a barrier under control flow that may differ between lanes, in: barrier",
    ],
    "a barrier under a condition on a mutable variable": [
      kernel(bind("s", n(1), true), when(apply("lt", variable("s"), n(2)), barrier)),
      "barrier: a barrier under control flow that may differ between lanes, in: barrier",
    ],
    "a shuffle under a condition on the lane": [
      kernel(when(first, { kind: "shuffle", name: "s", value: lane, mask: 1 })),
      "barrier: a shuffle under control flow that may differ between lanes, in: shuffle s: i32 = lane across 1",
    ],
    "a shuffle beyond the lanes": [
      kernel({ kind: "shuffle", name: "s", value: lane, mask: 4 }),
      "number: the mask is not below the 4 threads, in: shuffle s: i32 = lane across 4",
    ],
    "symbols that the list lacks or has too many of": [
      kernelOf([gridLoop(laneLoop(loop(length, "serial")))], { symbols: ["rows"] }),
      "symbols: the body uses the symbols [length], the kernel lists [rows]",
    ],
    "a storage that does not hold the dtype": [
      kernelOf([gridLoop(laneLoop())], { buffers: [{ ...buffers[0]!, storage: "i32" }] }),
      "dtype: i32 does not hold f32, in: buffer x",
    ],
    "a kernel of no lanes": [
      kernelOf([gridLoop(laneLoop())], { threads: 0, groups: 1.5 }),
      "number: the number of threads is 0, not a whole number from 1 on",
      "number: the number of groups is 1.5, not a whole number from 1 on",
      "shape: the lane loop does not have the kernel's 0 threads, in: for lane < 4 lane {",
    ],
  }
  for (const [what, [k, ...expected]] of Object.entries(refused)) it(what, () => expect(problems(k)).toEqual(expected))
})
