/**
 * The interpreter of the kernel language: items in order, each over its own axes, on buffers that round as their storage does.
 *
 *   interpretKernel(kernel, new Map([["x", x], ["y", y]]), new Map([["rows", 3]]))      // y has been written
 *
 * Faults: an index outside of a buffer's capacity or of a local's axes, two stores to one element, a missing buffer or symbol.
 * f32 values are rounded after every operation; sums run in float64 and are rounded once. Given `bounds`, one array a
 * buffer, the bounds of f32 elements are read and written beside the values (scalar-bounds.ts; storage rounding is not part of them). A kernel is
 * compiled to JavaScript once and runs for all values of its symbols.
 */
import { extentAt } from "../ir/dim.js"
import { literal, variable, withTable } from "../ir/expression.js"
import { type Kernel, type Local, mapItem, type Store, written } from "../ir/kernel.js"
import type { Expression } from "../ir/nodes.js"
import { type ArrayAccess, createLeaves, emitOffset, nest } from "./kernel-emit.js"
import { KernelFault } from "./kernel-fault.js"
import { type Memory, writeElement } from "./memory.js"
import { inPasses } from "./online.js"
import { Emitter } from "./scalar.js"
import type { Arithmetic } from "./scalar-operations.js"

/**
 * Runs a kernel; its stores change `buffers`.
 * @throws KernelFault
 */
export function interpretKernel(
  kernel: Kernel,
  buffers: ReadonlyMap<string, Memory>,
  symbols: ReadonlyMap<string, number>,
  options: { readonly arithmetic?: "rounded" | "float64"; readonly bounds?: ReadonlyMap<string, Float64Array> } = {},
): void {
  const compiled = compiledOf(kernel, options.bounds === undefined ? (options.arithmetic ?? "rounded") : "absolute")
  const memories = kernel.buffers.map(({ name, dtype, shape }) => {
    const memory = buffers.get(name)
    if (memory === undefined) throw new KernelFault("binding", `there is no buffer '${name}'`)
    const size = shape.reduce((n, x) => n * x, 1)
    if (memory.dtype !== dtype || memory.size < size)
      throw new KernelFault(
        "binding",
        `buffer '${name}' is ${dtype} of ${size} but is given ${memory.dtype} of ${memory.size}`,
      )
    return memory
  })
  const bounds = kernel.buffers.map(({ name }, i) => options.bounds?.get(name) ?? new Float64Array(memories[i]!.size))
  const values = (names: readonly string[]) =>
    names.map((name) => {
      const value = symbols.get(name)
      if (value === undefined) throw new KernelFault("binding", `the symbol '${name}' has no value`)
      return value
    })
  const stored = written(kernel)
  const touched = kernel.buffers.map(({ name }, i) => new Uint8Array(stored.has(name) ? memories[i]!.size : 0))
  const sizes = kernel.items.map((item) =>
    item.kind === "local" ? item.axes.reduce((n, a) => n * Math.max(0, extentAt(a.extent, symbols)), 1) : 0,
  )
  const locals = sizes.map((n) => new Float64Array(n))
  const localBounds = sizes.map((n) => new Float64Array(options.bounds === undefined ? 0 : n))
  compiled.run({ memories, bounds, touched, locals, localBounds }, values(compiled.symbols))
}

interface Arrays {
  readonly memories: readonly Memory[]
  readonly bounds: readonly Float64Array[]
  /** 1 where an element was written in this launch. */
  readonly touched: readonly Uint8Array[]
  readonly locals: readonly Float64Array[]
  readonly localBounds: readonly Float64Array[]
}

interface Compiled {
  readonly symbols: readonly string[]
  readonly run: (arrays: Arrays, symbols: readonly number[]) => void
}

const compilations = new WeakMap<Kernel, Map<Arithmetic, Compiled>>()

function compiledOf(kernel: Kernel, arithmetic: Arithmetic): Compiled {
  const known = compilations.get(kernel) ?? new Map<Arithmetic, Compiled>()
  compilations.set(kernel, known)
  const made = known.get(arithmetic) ?? withTable(() => compile(spelledInPasses(kernel), arithmetic))
  known.set(arithmetic, made)
  return made
}

function spelledInPasses(kernel: Kernel): Kernel {
  const memo = new Map<Expression, Expression>()
  const spell = (x: Expression) => inPasses(x, memo)
  return { ...kernel, items: kernel.items.map((item) => mapItem(item, spell)) }
}

function compile(kernel: Kernel, arithmetic: Arithmetic): Compiled {
  const bounded = arithmetic === "absolute"
  const buffers = new Map(
    kernel.buffers.map(({ name, dtype, shape }, i): [string, ArrayAccess] => {
      const bounds = bounded && dtype === "f32" ? `bound${i}` : undefined
      return [
        name,
        { values: `buffer${i}`, bounds, shape: shape.map((n) => literal(n)), label: `'${name}'`, fault: "range" },
      ]
    }),
  )
  const locals = new Map<string, ArrayAccess>()
  const known = (from: ReadonlyMap<string, ArrayAccess>, name: string, what: string): ArrayAccess => {
    const found = from.get(name)
    if (found === undefined) throw new KernelFault("malformed", `there is no ${what} '${name}' here`)
    return found
  }
  const emitter = new Emitter(
    arithmetic,
    createLeaves((x) => (x.kind === "load" ? known(buffers, x.buffer, "buffer") : known(locals, x.local, "local"))),
  )
  kernel.buffers.forEach((_, i) => {
    emitter.push(`const memory${i} = arrays.memories[${i}], buffer${i} = memory${i}.values;`)
    emitter.push(`const touched${i} = arrays.touched[${i}], bound${i} = arrays.bounds[${i}];`)
  })
  for (const [i, item] of kernel.items.entries()) {
    if (item.kind === "store") {
      emitStore(emitter, kernel, item, known(buffers, item.buffer, "buffer"))
    } else {
      emitter.push(`const local${i} = arrays.locals[${i}], localBound${i} = arrays.localBounds[${i}];`)
      const array = localArray(item, i, bounded)
      emitLocal(emitter, item, array)
      locals.set(item.name, array)
    }
  }
  return { run: emitter.function(["arrays", "symbols"]), symbols: emitter.symbols }
}

function localArray({ name, axes, value }: Local, i: number, bounded: boolean): ArrayAccess {
  const bounds = bounded && value.dtype === "f32" ? `localBound${i}` : undefined
  return {
    values: `local${i}`,
    bounds,
    shape: axes.map((a) => a.extent),
    label: `local '${name}'`,
    fault: "local-range",
  }
}

function emitLocal(emitter: Emitter, { axes, value }: Local, array: ArrayAccess): void {
  const index = axes.map((a) => variable(a.name))
  const body = emitter.inside(false, new Map(), () =>
    nest(emitter, axes, () => {
      const made = emitter.emit(value)
      const offset = emitOffset(emitter, array, index)
      emitter.push(`${array.values}[${offset}] = ${made.value};`)
      if (array.bounds !== undefined) emitter.push(`${array.bounds}[${offset}] = ${made.bound};`)
    }),
  )
  emitter.push(body)
}

function emitStore(emitter: Emitter, kernel: Kernel, item: Store, array: ArrayAccess): void {
  const i = kernel.buffers.findIndex((b) => b.name === item.buffer)
  const twice = emitter.hold((offset: number) => {
    throw new KernelFault("twice", `element ${offset} of '${item.buffer}' is stored twice`)
  })
  const body = emitter.inside(false, new Map(), () =>
    nest(emitter, item.axes, () => {
      const made = emitter.emit(item.value)
      const offset = emitOffset(emitter, array, item.index)
      const touched = `touched${i}[${offset}]`
      emitter.push(`if (${touched} !== 0) ${twice}(${offset});`)
      emitter.push(`${touched} = 1;`)
      emitter.push(`${emitter.hold(writeElement)}(memory${i}, ${offset}, ${made.value});`)
      if (array.bounds !== undefined) emitter.push(`${array.bounds}[${offset}] = ${made.bound};`)
    }),
  )
  emitter.push(body)
}
