import { describe, expect, it } from "vitest"
import type { LoopOptions } from "../../compiler/interpret/loop.js"
import { memoryOf } from "../../compiler/interpret/memory.js"
import { add, apply, fetch, splat, symbol, variable } from "../../compiler/ir/expression.js"
import type { LoopKernel } from "../../compiler/ir/loop.js"
import {
  barrier,
  block,
  buffer,
  f,
  faultOf,
  floats,
  i,
  kernel,
  lane,
  lt,
  n,
  numbers,
  register,
  run,
  serial,
  shared,
  store,
  when,
} from "./loop-builders.js"

describe("a fault", () => {
  const y = () => ({ y: floats(16) })
  const out = [buffer("y", "write", 16)]
  const cases: Record<string, [LoopKernel, string, LoopOptions?]> = {
    "reading a register array before it is stored": [
      kernel(2, 1, out, [register("r", 2), store("r", n(0), f(1)), store("y", lane, fetch("r", n(1), "f32"))]),
      "uninitialised: r[1] is read before it is stored, in: y[lane] = r[1]",
    ],
    "reading a register array of an earlier iteration": [
      kernel(1, 1, out, [
        serial(
          "i",
          2,
          register("r", 1),
          when(apply("eq", i, n(0)), store("r", n(0), f(1))),
          store("y", i, fetch("r", n(0), "f32")),
        ),
      ]),
      "uninitialised: r[0] is read before it is stored, in: y[i] = r[0]",
    ],
    "reading a shared array before it is stored": [
      kernel(2, 1, out, [store("y", lane, fetch("t", lane, "f32"))], [shared("t", 2)]),
      "uninitialised: t[1] is read before it is stored, in: y[lane] = t[lane]",
    ],
    "reading a shared array of an earlier iteration of the grid": [
      kernel(
        1,
        2,
        out,
        [when(apply("eq", block, n(0)), store("t", n(0), f(1))), store("y", block, fetch("t", n(0), "f32"))],
        [shared("t", 1)],
      ),
      "uninitialised: t[0] is read before it is stored, in: y[block] = t[0]",
      { groups: 1 },
    ],
    "reading what a write-only buffer held": [
      kernel(1, 1, out, [store("y", n(0), fetch("y", n(1), "f32"))]),
      "uninitialised: y[1] is read before it is stored, in: y[0] = y[1]",
    ],
    "two lanes storing to one element": [
      kernel(2, 1, out, [store("y", n(3), f(1))]),
      "race: lane 0 and lane 1 touch y[3] without a barrier between, in: y[3] = 1.0",
    ],
    "two workgroups storing to one element": [
      kernel(1, 3, out, [store("y", n(2), f(1))]),
      "grid-race: grid iterations 1 and 0 touch y[2] in one launch, in: y[2] = 1.0",
    ],
    "two grid iterations of one workgroup": [
      kernel(1, 3, out, [store("y", n(2), f(1))]),
      "grid-race: grid iterations 1 and 0 touch y[2] in one launch, in: y[2] = 1.0",
      { groups: 1 },
    ],
    "a workgroup reading what another stores": [
      kernel(
        1,
        3,
        [buffer("y", "readwrite", 16)],
        [store("y", block, fetch("y", apply("min", add(block, n(1)), n(2)), "f32"))],
      ),
      "grid-race: grid iterations 1 and 0 touch y[1] in one launch, in: y[block] = y[min((block + 1), 2)]",
    ],
    "a fetch out of range": [
      kernel(1, 1, [buffer("x", "read", 4), ...out], [store("y", n(0), fetch("x", n(4), "f32"))]),
      "out-of-range: x[4] is outside of its 4 elements, in: y[0] = x[4]",
    ],
    "a fetch out of range in the branch of a select that is not taken": [
      kernel(
        1,
        1,
        [buffer("x", "read", 4), ...out],
        [store("y", lane, apply("select", lt(lane, n(1)), f(0), fetch("x", apply("sub", lane, n(1)), "f32")))],
      ),
      "out-of-range: x[-1] is outside of its 4 elements, in: y[lane] = select((lane < 1), 0.0, x[(lane + -1)])",
    ],
    "a store out of range": [
      kernel(1, 1, out, [store("y", n(14), splat(f(1), 4))]),
      "out-of-range: y[14 : 4] is outside of its 16 elements, in: y[14 : 4] = splat4(1.0)",
    ],
    "a misaligned vector fetch": [
      kernel(1, 1, [buffer("x", "read", 8), ...out], [store("y", n(0), fetch("x", n(2), "f32", 4))]),
      "misaligned: x[2 : 4] does not start at a multiple of 4, in: y[0 : 4] = x[2 : 4]",
    ],
    "a store to a read-only buffer": [
      kernel(1, 1, [buffer("y", "read", 16)], [store("y", n(0), f(1))]),
      "read-only: y is read-only, in: y[0] = 1.0",
    ],
    "a floor division by something that is not positive": [
      kernel(1, 1, out, [store("y", apply("floordiv", n(4), apply("sub", lane, n(2))), f(1))]),
      "division: floordiv by -2, in: y[(4 // (lane + -2))] = 1.0",
    ],
    "a barrier that some lanes do not reach": [
      kernel(4, 1, out, [when(lt(lane, n(2)), barrier)]),
      "barrier: lane 0 waits at a barrier, lane 2 has ended, in: barrier",
    ],
    "lanes at different barriers": [
      kernel(2, 1, out, [{ kind: "if", condition: lt(lane, n(1)), body: [barrier], otherwise: [barrier] }]),
      "barrier: lane 0 waits at a barrier, lane 1 at another, in: barrier",
    ],
    "a barrier in different iterations of a loop": [
      kernel(2, 1, out, [serial("i", 3, when(apply("ne", i, lane), barrier))]),
      "barrier: lanes 0 and 1 meet at a barrier in different iterations of a loop, in: barrier",
    ],
    "a shuffle without the partner": [
      kernel(4, 1, out, [when(lt(lane, n(1)), { kind: "shuffle", name: "s", value: lane, mask: 1 })]),
      "shuffle: lane 0 waits for a partner that does not take part, in: shuffle s: i32 = lane across 1",
    ],
    "a shuffle with a lane that does not exist": [
      kernel(3, 1, out, [{ kind: "shuffle", name: "s", value: lane, mask: 1 }]),
      "shuffle: lane 2 has no partner: there are 3 lanes, in: shuffle s: i32 = lane across 1",
      { subgroup: 4 },
    ],
    "a name that is not declared": [
      kernel(1, 1, out, [store("y", variable("k"), f(1))]),
      "malformed: 'k' is not declared, in: y[k] = 1.0",
    ],
    "a node of another language": [
      kernel(1, 1, out, [store("y", n(0), { kind: "load", dtype: "f32", width: 1, buffer: "x", index: [n(0)] })]),
      "malformed: a load is not of the loop language: x[0], in: y[0] = x[0]",
    ],
    "a buffer that is too small": [
      kernel(1, 1, [buffer("y", "write", 17)], []),
      "binding: the buffer y needs 17 elements, not 16",
    ],
    "a buffer of another storage": [
      kernel(1, 1, [buffer("y", "write", 16, "bf16")], []),
      "binding: the buffer y is f32 as bf16, not f32 as f32",
    ],
    "a buffer without memory": [kernel(1, 1, [buffer("x", "read", 1)], []), "binding: the buffer x has no memory"],
    "a symbol without a value": [kernel(1, symbol("rows", 4, 4), out, []), "binding: the symbol rows has no value"],
  }
  for (const [what, [k, expected, options]] of Object.entries(cases))
    it(`reports ${what}`, () => {
      const inputs = { ...y(), ...Object.fromEntries(["c"].map((name) => [name, memoryOf("i32", [0])])) }
      const more = what.includes("without memory") ? {} : { x: floats(8) }
      const text = faultOf(k, { ...inputs, ...more }, options)
      expect(text).toBe(expected)
    })

  it("does not come from stale contents that the caller vouches for", () => {
    const k = kernel(1, 1, out, [store("y", n(0), fetch("y", n(1), "f32"))])
    const memory = memoryOf("f32", numbers(16, Number))
    run(k, { y: memory }, { trustWriteBuffers: true })
    expect(memory.values[0]).toBe(1)
  })
})
