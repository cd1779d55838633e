/**
 * The rules of what lanes do together with fragments, and of what they only begin.
 *
 *   multiply c[4] += a[0] * b[lane] by mma.m16n8k16.bf16     32 lanes have to give the same offsets, and lane differs
 *   copy tile[o : 3] = x[p : 3]                              halves are copied 2, 4 or 8 at once
 *
 * All lanes of an atom's group come together: they stand where control is the same for them, and give the same offsets. An operand is an array that
 * holds what the atom takes: of the same layout and storage. Fragments, and rows of shared tiles, begin where the hardware can take them; where an
 * offset is no literal the interpreter sees to that.
 */
import { isLiteral } from "../expression.js"
import { type Atom, atoms, fragmentSize, tileAlignment } from "../fragments/atoms.js"
import { same } from "../fragments/layout.js"
import { isTile, type OperandName, type Place, type StatementOf, storageBytes, type Tile } from "../loop.js"
import type { Joint } from "../loop-visit.js"
import type { Expression } from "../nodes.js"
import { boxProblems } from "./boxes.js"
import type { Around, Made } from "./likeness.js"

type Problems = readonly (string | false | undefined)[]

const isAlloc = (made: Made): made is StatementOf<"alloc"> => "kind" in made
const storageOf = (made: Made) => made.storage ?? made.dtype
const bytesOf = (made: Made): number => storageBytes(storageOf(made))

/** What is wrong with a declaration. */
export function allocProblems(s: StatementOf<"alloc">): readonly string[] {
  const lies = s.space !== "register" || s.layout !== undefined || (s.storage ?? s.dtype) !== s.dtype
  const aside = s.aside === true && lies && `${s.name} is aside, and no plain array of a lane`
  return found([...layoutProblems(s), ...swizzleProblems(s), aside])
}

function layoutProblems(s: StatementOf<"alloc">): Problems {
  if (s.layout === undefined) return []
  const atom = atoms.get(s.layout.atom)
  if (atom === undefined) return [unknown(s.layout.atom)]
  const { storage } = atom[s.layout.operand]
  const size = fragmentSize(atom, s.layout.operand)
  return [
    s.space !== "register" && `${s.name} is of fragments, which lie in registers`,
    storageOf(s) !== storage && `${s.name} holds ${storageOf(s)}; ${s.layout.operand} of ${atom.name} is ${storage}`,
    s.size % size !== 0 && `${s.name} has ${s.size} elements, not a multiple of the ${size} of a fragment`,
  ]
}

/** Rows after which a swizzle comes again. */
const swizzledRows = 8

function swizzleProblems(s: StatementOf<"alloc">): Problems {
  if (s.swizzle === undefined) return []
  const period = swizzledRows * s.swizzle
  return [
    s.space !== "shared" && `${s.name} is swizzled, and not shared`,
    (s.size * bytesOf(s)) % period !== 0 && `${s.name} is swizzled, and no multiple of ${period} bytes`,
  ]
}

/** What is wrong with a fetch or a store of so many elements. */
export function touchProblem(made: Made, width: number): string | undefined {
  if (!isAlloc(made)) return undefined
  const bytes = width * bytesOf(made)
  if (made.swizzle !== undefined && bytes > piece)
    return `${bytes} bytes of ${made.name} are touched at once, which do not lie side by side`
  const atom = made.layout && atoms.get(made.layout.atom)
  const opaque = atom !== undefined && atom[made.layout!.operand].layout === undefined
  return opaque ? `only ${atom.name} knows which elements the registers of ${made.name} hold` : undefined
}

/** Bytes that a swizzle leaves together, and the most that are copied at once. */
const piece = 16
const copied: readonly number[] = [4, 8, piece]

export function fragmentProblems(s: Joint, around: Around): readonly string[] {
  switch (s.kind) {
    case "copy":
      return found(copyProblems(s, around))
    case "commit":
    case "wait": {
      const count = s.kind === "wait" ? s.groups : 0
      const together = s.of === "products" && around.alike < asynchronousLanes
      return found([
        !(Number.isInteger(count) && count >= 0) && `${count} groups are no whole number from 0 on`,
        together && `products are waited for by ${asynchronousLanes} lanes together`,
      ])
    }
    case "arrivals":
    case "copyBoxes":
    case "arrived":
      return boxProblems(s, around)
    case "multiply":
    case "fill":
    case "drain": {
      const atom = atoms.get(s.atom)
      return atom === undefined ? [unknown(s.atom)] : found(togetherProblems(s, atom, around))
    }
    default:
      return s satisfies never
  }
}

/** Lanes of atoms whose products are asynchronous. */
const asynchronousLanes = Math.max(...[...atoms.values()].flatMap((a) => (a.asynchronous ? [a.lanes] : [])))

function copyProblems({ to, from, width, valid }: StatementOf<"copy">, { arrayOf }: Around): Problems {
  const [target, source] = [arrayOf(to.array), arrayOf(from.array)]
  if (target === undefined || source === undefined) return ["what is copied is no array"]
  const bytes = width * bytesOf(source)
  return [
    ...[to, from].map(({ offset }) => offsetProblem(offset)),
    !(isAlloc(target) && target.space === "shared") && `${to.array} is copied to, and not shared`,
    (isAlloc(source) || source.access !== "read") && `${from.array} is copied, and no buffer that is only read`,
    storageOf(target) !== storageOf(source) && `${storageOf(source)} is copied to ${storageOf(target)}`,
    !copied.includes(bytes) && `${bytes} bytes are copied at once, not ${copied.join(", ")}`,
    isLiteral(to.offset) && to.offset.value % width !== 0 && `${to.offset.value} is no multiple of ${width}`,
    isLiteral(from.offset) && from.offset.value % width !== 0 && `${from.offset.value} is no multiple of ${width}`,
    valid !== undefined && (valid.dtype !== "bool" || valid.width > 1) && "whether it is valid is no truth value",
  ]
}

function togetherProblems(s: StatementOf<"multiply" | "fill" | "drain">, atom: Atom, around: Around): Problems {
  const { lanes } = atom
  const given = s.kind === "multiply" ? [s.c, s.a, s.b] : [s.to, s.from]
  const numbers = [...given.map((p) => p.offset), ...(s.kind === "multiply" ? [] : [s.stride])]
  const differs = numbers.some((x) => around.alikeOf(x) < lanes)
  return [
    ...numbers.map(offsetProblem),
    around.threads % lanes !== 0 && `${around.threads} threads are no groups of ${lanes}`,
    around.alike < lanes && `${lanes} lanes do this together, and control may differ between them`,
    differs && `the ${lanes} lanes of a group may give different offsets`,
    ...(s.kind === "multiply" ? productProblems(s, atom, around) : movedProblems(s, atom, around)),
  ]
}

function productProblems(s: StatementOf<"multiply">, atom: Atom, around: Around): Problems {
  return (["c", "a", "b"] as const).flatMap((name): Problems => {
    const place: Place | Tile = s[name]
    const kind = isTile(place) ? "shared" : "fragment"
    if (!atom[name].places.includes(kind)) return [`${name} of ${atom.name} may not lie in a ${kind} array`]
    if (!isTile(place)) return heldProblems(place, atom, name, around)
    const made = around.arrayOf(place.array)
    const isShared = made !== undefined && isAlloc(made) && made.space === "shared"
    return [
      !isShared && `${place.array} is not shared`,
      isShared &&
        storageOf(made) !== atom[name].storage &&
        `${place.array} holds ${storageOf(made)}, not ${atom[name].storage}`,
      (place.stride <= 0 || place.stride % tileAlignment !== 0) &&
        `the stride ${place.stride} is no multiple of ${tileAlignment}`,
      place.panel !== undefined &&
        (place.panel < place.stride || place.panel % tileAlignment !== 0) &&
        `panels ${place.panel} apart are no multiple of ${tileAlignment}, or narrower than a row`,
      isLiteral(place.offset) &&
        place.offset.value % tileAlignment !== 0 &&
        `${place.offset.value} is no multiple of ${tileAlignment}`,
    ]
  })
}

/** What is wrong with an array of fragments as an operand. */
function heldProblems({ array, offset }: Place, atom: Atom, name: OperandName, around: Around): Problems {
  const made = around.arrayOf(array)
  const held = made !== undefined && isAlloc(made) ? made.layout : undefined
  const other = held && atoms.get(held.atom)
  if (held === undefined || other === undefined) return [`${array} is not of fragments`]
  const [is, wanted] = [other[held.operand], atom[name]]
  const alike =
    is.layout === undefined || wanted.layout === undefined
      ? other === atom && held.operand === name
      : same(is.layout, wanted.layout)
  const size = fragmentSize(atom, name)
  return [
    !(alike && is.storage === wanted.storage) &&
      `${array} is ${held.operand} of ${held.atom}, not ${name} of ${atom.name}`,
    isLiteral(offset) && offset.value % size !== 0 && `${offset.value} is no multiple of the ${size} of a fragment`,
  ]
}

function movedProblems(s: StatementOf<"fill" | "drain">, atom: Atom, around: Around): Problems {
  const [held, lies, name] = s.kind === "fill" ? [s.to, s.from, s.operand] : ([s.from, s.to, "c"] as const)
  const made = around.arrayOf(lies.array)
  const inRegisters = made !== undefined && isAlloc(made) && made.space === "register"
  return [
    ...heldProblems(held, atom, name, around),
    (made === undefined || inRegisters || made.dtype !== "f32") && `${lies.array} is no array of f32 that lanes share`,
    s.kind === "drain" &&
      made !== undefined &&
      !isAlloc(made) &&
      `${lies.array} is a buffer, and results go to the workgroup`,
    s.kind === "fill" &&
      !(s.count >= 1 && s.step >= 0) &&
      `${s.count} fragments by ${s.step} are none, or lie backwards`,
  ]
}

const offsetProblem = ({ dtype, width }: Expression): string | false =>
  (dtype !== "i32" || width > 1) && "an offset or a stride is no i32"

const unknown = (name: string): string => `there is no atom ${name}`
const found = (problems: Problems): readonly string[] => problems.filter((p): p is string => typeof p === "string")
