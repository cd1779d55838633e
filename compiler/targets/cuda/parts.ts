/**
 * Functions of the prelude that only some kernels call: asynchronous copies, arrays in swizzled rows, halves in pairs, matrix units. A part's text
 * stands in the prelude of an artifact where one of its kernels asks for it.
 *
 *   withParts(["copies"])   →   shared_address(p)  copy_bytes<16>(to, from)  commit_copies()  wait_copies<1>()
 *
 * As in prelude.ts, what only a GPU has stands in `machine`, and a processor has other functions of these names.
 */
import { fault } from "../../../runtime/errors.js"
import { atoms } from "../../ir/fragments/atoms.js"
import { type Part, productPart } from "./products.js"

const addresses: Part = {
  machine: `FUNCTION u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }
`,
}

const copies: Part = {
  needs: ["addresses"],
  machine: `// So many bytes from memory to shared memory, which arrive by themselves; zeros where \`valid\` says so, and nothing is read.
template <int bytes> FUNCTION void copy_bytes(void* to, const void* from) {
  if (bytes == 16) asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" :: "r"(shared_address(to)), "l"(from) : "memory");
  else asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" :: "r"(shared_address(to)), "l"(from), "n"(bytes) : "memory");
}
template <int bytes> FUNCTION void copy_bytes(void* to, const void* from, bool valid) {
  const i32 size = valid ? bytes : 0;
  if (bytes == 16) asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" :: "r"(shared_address(to)), "l"(from), "r"(size) : "memory");
  else asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" :: "r"(shared_address(to)), "l"(from), "n"(bytes), "r"(size) : "memory");
}
FUNCTION void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int youngest> FUNCTION void wait_copies() { asm volatile("cp.async.wait_group %0;" :: "n"(youngest) : "memory"); }
`,
}

const boxes: Part = {
  needs: ["addresses"],
  types: `// How the copy engine is told of a matrix, and where what it brings arrives.
struct Matrix { alignas(128) unsigned long long words[16]; };
struct Arrival { unsigned long long word; u32 left, more; };
`,
  machine: `#define MATRIX const __grid_constant__ Matrix
FUNCTION void ask_for_matrix(const Matrix* of) {
  if (lane_number() == 0) asm volatile("prefetch.tensormap [%0];" :: "l"(of) : "memory");
}
// Places for boxes that arrive, of which one lane tells; \`again\`: they were in use before, and nothing is under way.
template <int places> FUNCTION void begin_arrivals(Arrival* all, bool again) {
  barrier();
  if (lane_number() == 0) {
    _Pragma("unroll") for (i32 i = 0; i < places; i++) {
      if (again) asm volatile("mbarrier.inval.shared::cta.b64 [%0];" :: "r"(shared_address(all + i)) : "memory");
      asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" :: "r"(shared_address(all + i)) : "memory");
      all[i].left = 0;
    }
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  barrier();
}
FUNCTION void expect_boxes(Arrival* at, i32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" :: "r"(shared_address(at)), "r"(bytes) : "memory");
}
FUNCTION void copy_box(void* to, const Matrix* from, i32 column, i32 row, Arrival* at) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];"
    :: "r"(shared_address(to)), "l"(from), "r"(column), "r"(row), "r"(shared_address(at)) : "memory");
}
// Until an even, or an odd, number of times all that was expected has come.
FUNCTION void wait_boxes(Arrival* at, i32 odd) {
  asm volatile("{\\n .reg .pred there;\\nAGAIN:\\n mbarrier.try_wait.parity.shared::cta.b64 there, [%0], %1;\\n @there bra DONE;\\n bra AGAIN;\\nDONE:\\n}"
    :: "r"(shared_address(at)), "r"(odd) : "memory");
}
FUNCTION void join_lanes() { __syncwarp(); }
// Whether this lane, for its warp the first one, is the last to have left a place: nobody reads there any more.
template <u32 warps> FUNCTION bool last_to_leave(Arrival* at) {
  join_lanes();
  if (lane_number() % 32 != 0) return false;
  u32 before;
  asm volatile("atom.acq_rel.cta.shared::cta.add.u32 %0, [%1], 1;" : "=r"(before) : "r"(shared_address(&at->left)) : "memory");
  return before % warps == warps - 1;
}
`,
}

const swizzled: Part = {
  common: `// Element \`at\` of an array in rows of so many bytes: of 1,024 bytes each 128 have their 16-byte chunks in an order of their own.
template <int row, class S> FUNCTION S* swizzled(S* array, i32 at) {
  const i32 bytes = at * (i32)sizeof(S);
  return (S*)((char*)array + (bytes ^ ((bytes >> 3) & (row - 16))));
}
`,
}

const aside: Part = {
  machine: `// Of a lane, and not in its registers: compilers are not told where it lies.
template <class S> FUNCTION S* in_memory(S* array) { asm volatile("" : "+l"(array) :: "memory"); return array; }
`,
}

const pairs: Part = {
  types: `// Halves in registers, two in a word.
struct bf16_pair { u32 word; };
struct f16_pair { u32 word; };
`,
  machine: `// Some bits of a word, among others.
FUNCTION u32 among(u32 x, u32 mask, u32 others) {
  u32 y; asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(y) : "r"(x), "r"(mask), "r"(others)); return y;
}
// Of two halves in a word each: a · b, and a − b.
FUNCTION u32 times_halves(u32 a, u32 b) {
  u32 y; asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(y) : "r"(a), "r"(b), "r"(0x80008000u)); return y;
}
FUNCTION u32 less_halves(u32 a, u32 b) {
  u32 y; asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(y) : "r"(b), "r"(0xbf80bf80u), "r"(a)); return y;
}
`,
  common: `FUNCTION f32 low_of(bf16_pair p) { return low_bf16(p.word); }
FUNCTION f32 low_of(f16_pair p) { return low_f16(p.word); }
FUNCTION f32 high_of(bf16_pair p) { return high_bf16(p.word); }
FUNCTION f32 high_of(f16_pair p) { return high_f16(p.word); }
FUNCTION bf16_pair pair_like(bf16_pair, f32 low, f32 high) { bf16_pair p; p.word = narrow_two_bf16(low, high); return p; }
FUNCTION f16_pair pair_like(f16_pair, f32 low, f32 high) { f16_pair p; p.word = narrow_two_f16(low, high); return p; }
// Half \`at\` of an array of pairs, and as many as a vector has from an even one.
template <class P> FUNCTION f32 half_at(const P* p, i32 at) { return (at & 1) != 0 ? high_of(p[at >> 1]) : low_of(p[at >> 1]); }
template <int N, class P> FUNCTION Vector<f32, N> halves_at(const P* p, i32 at) {
  Vector<f32, N> v; EACH(N / 2) { v.at[2 * i] = low_of(p[(at >> 1) + i]); v.at[2 * i + 1] = high_of(p[(at >> 1) + i]); } return v;
}
template <class P> FUNCTION void put_half(P* p, i32 at, f32 x) {
  const P one = pair_like(P(), x, x);
  const u32 kept = (at & 1) != 0 ? 0xffffu : 0xffff0000u;
  p[at >> 1].word = (p[at >> 1].word & kept) | (one.word & ~kept);
}
template <class P> FUNCTION void put_word(P* p, i32 at, u32 word) { p[at >> 1].word = word; }
// The same of values that have no more bits than that.
template <class P, int N> FUNCTION void put_joined(P* p, i32 at, const Vector<f32, N>& v) {
  EACH(N / 2) p[(at >> 1) + i].word = (bits(v.at[2 * i]) >> 16) | (bits(v.at[2 * i + 1]) & 0xffff0000u);
}
template <class P, int N> FUNCTION void put_halves(P* p, i32 at, const Vector<f32, N>& v) {
  EACH(N / 2) p[(at >> 1) + i] = pair_like(P(), v.at[2 * i], v.at[2 * i + 1]);
}
`,
}

const matrices: Part = {
  needs: ["addresses"],
  machine: `// 8 x 8 halves each: a lane names a row of 16 bytes, and has two of a row of each then; turned over, two of a column.
${[2, 4].flatMap((count) => [matricesText(count, ""), matricesText(count, ".trans")]).join("\n")}
`,
}

function matricesText(count: number, turned: "" | ".trans"): string {
  const numbers = Array.from({ length: count }, (_, i) => i)
  const to = numbers.map((i) => `%${i}`).join(", ")
  const outputs = numbers.map((i) => `"=r"(to[${i}].word)`).join(", ")
  return `template <class P> FUNCTION void load_${turned === "" ? "" : "turned_"}matrices_${count}(P* to, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x${count}${turned}.shared.b16 {${to}}, [%${count}];" : ${outputs} : "r"(shared_address(row)) : "memory");
}`
}

/** What products that go on by themselves need. */
const products: Part = {
  needs: ["addresses", "pairs"],
  types: `// Where an operand lies in shared memory, and how.
struct Tile { unsigned long long word; };
`,
  machine: `template <int row, int panel> FUNCTION Tile tile_at(const void* first) {
  Tile t;
  t.word = (unsigned long long)((shared_address(first) & 0x3ffffu) >> 4) | (unsigned long long)((panel & 0x3ffff) >> 4) << 16 | (unsigned long long)(8 * row >> 4) << 32 |
    (row == 128 ? 1ull : row == 64 ? 2ull : 3ull) << 62;
  return t;
}
// Rows of the free axis, each \`row\` bytes of the folded one; or of the folded axis, as many bytes of the free one. Eight lie one behind the other,
// and what of the free axis is wider than a row is \`panel\` bytes further.
template <int row> FUNCTION Tile tile_of_rows(const void* first) { return tile_at<row, 16>(first); }
template <int row, int panel = 16> FUNCTION Tile tile_of_columns(const void* first) { return tile_at<row, panel>(first); }
// What lanes have stored is there for products after the next barrier.
FUNCTION void show_products() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
FUNCTION void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
FUNCTION void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int youngest> FUNCTION void wait_products() { asm volatile("wgmma.wait_group.sync.aligned %0;" :: "n"(youngest) : "memory"); }
// The lane's number, anew for each cell: compilers would keep all that follows from it. 254 registers are 229 so, for sums that move.
template <i32 lanes> FUNCTION i32 lane_of_cell() {
  i32 lane = lane_number();
  asm volatile("" : "+r"(lane));
  __builtin_assume(lane >= 0 && lane < lanes);
  return lane;
}
// What is done with these registers before and after stays there.
template <int N> FUNCTION void keep(f32* c) { _Pragma("unroll") for (i32 i = 0; i < N; i++) asm volatile("" : "+f"(c[i]) :: "memory"); }
template <int N, class P> FUNCTION void keep(P* a) { _Pragma("unroll") for (i32 i = 0; i < N; i++) asm volatile("" : "+r"(a[i].word) :: "memory"); }
`,
}

const parts: ReadonlyMap<string, Part> = new Map([
  ["addresses", addresses],
  ["copies", copies],
  ["boxes", boxes],
  ["swizzled", swizzled],
  ["aside", aside],
  ["pairs", pairs],
  ["matrices", matrices],
  ["products", products],
  ...[...atoms.values()].flatMap((atom) => {
    const part = productPart(atom)
    return part === undefined ? [] : ([[atom.name, part]] as const)
  }),
])

/** The names of all parts; of a product's it is the atom's. */
export const partNames: ReadonlySet<string> = new Set(parts.keys())

/** The parts of these names and those that they need, in the order of the prelude. */
export function partsOf(names: Iterable<string>): readonly Part[] {
  const wanted = new Set<string>()
  const want = (name: string): void => {
    const part = parts.get(name)
    if (part === undefined) throw fault(`the prelude has no part '${name}'`)
    for (const other of part.needs ?? []) want(other)
    wanted.add(name)
  }
  for (const name of names) want(name)
  return [...parts].flatMap(([name, part]) => (wanted.has(name) ? [part] : []))
}
