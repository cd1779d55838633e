/** Words that a name in CUDA may not be: those of C++, of the compilers' built-in headers, and those of the prelude; shorter ones are local there. */
import { partNames } from "./parts.js"
import { prelude, preludeWith } from "./prelude.js"

const language = `alignas alignof and and_eq asm atomic_cancel atomic_commit atomic_noexcept auto bitand bitor bool break case catch
  char char8_t char16_t char32_t class compl concept const consteval constexpr constinit const_cast continue co_await co_return co_yield
  decltype default delete do double dynamic_cast else enum explicit export extern false float for friend goto if inline int long mutable
  namespace new noexcept not not_eq nullptr operator or or_eq private protected public reflexpr register reinterpret_cast requires restrict
  return short signed sizeof static static_assert static_cast struct switch synchronized template this thread_local throw true try typedef
  typeid typename union unsigned using virtual void volatile wchar_t while xor xor_eq
  main symbols threadIdx blockIdx blockDim gridDim warpSize dim3 clock assert printf malloc free memcpy memset NAN INFINITY
  min max abs exp log sin cos tan pow floor ceil round trunc sqrt fma signbit isnan isinf isfinite linux unix std cuda nv`

/** Of a macro that makes a type, what it makes. */
const vectors = ["f32", "i32", "u32", "bool"].flatMap((type) => [2, 4, 8].map((width) => `${type}x${width}`))

const wordsOf = (text: string, words: RegExp): readonly string[] => text.replaceAll(/\/\/.*$/gm, "").match(words) ?? []

export const reserved: ReadonlySet<string> = new Set([
  ...language.split(/\s+/),
  ...vectors,
  ...wordsOf(prelude, /[A-Za-z_][A-Za-z0-9_]{2,}/g),
  // Of its parts what a kernel calls, and types.
  ...wordsOf(preludeWith(partNames), /[A-Za-z_]\w*(?=\()|(?<=struct )\w+/g),
])
