// The prelude's functions of matrix units and of what is under way, for a processor. Lanes leave what they bring where they meet, and the last to
// come does the work of all. Copies arrive as late as they may, where they are waited for; results that are not there yet are NaN. So is what a
// product makes of anything that a GPU does not promise: operands that change under it, or that were not shown to it.

enum { most_copies = 512, most_products = 64, most_wide = 256, group_of_warps = 4 * warp };

[[noreturn]] inline void misaligned() { exit(4); }

struct Copy { void* to; const void* from; i32 bytes; };
static Copy copies_of[most_lanes][most_copies];
static i32 copies_there[most_lanes], group_ends[most_lanes][most_copies], groups_there[most_lanes];
static bool unshown[most_lanes];

template <int bytes> FUNCTION void copy_bytes(void* to, const void* from, bool valid = true) {
  if ((size_t)to % bytes != 0 || (valid && (size_t)from % bytes != 0) || copies_there[lane_here] == most_copies) misaligned();
  memset(to, 0xff, bytes);
  copies_of[lane_here][copies_there[lane_here]++] = Copy{to, valid ? from : NULL, bytes};
}
FUNCTION void commit_copies() { group_ends[lane_here][groups_there[lane_here]++] = copies_there[lane_here]; }
template <int youngest> FUNCTION void wait_copies() {
  const i32 lane = lane_here, done = groups_there[lane] - youngest;
  if (done <= 0) return;
  const i32 end = group_ends[lane][done - 1];
  for (i32 i = 0; i < end; i++) {
    const Copy& c = copies_of[lane][i];
    if (c.from == NULL) memset(c.to, 0, c.bytes);
    else memcpy(c.to, c.from, c.bytes);
  }
  for (i32 i = end; i < copies_there[lane]; i++) copies_of[lane][i - end] = copies_of[lane][i];
  for (i32 i = done; i < groups_there[lane]; i++) group_ends[lane][i - done] = group_ends[lane][i] - end;
  copies_there[lane] -= end;
  groups_there[lane] -= done;
  unshown[lane] = end > 0 || unshown[lane];
}

// Boxes: the first lane asks, they arrive as late as they may, where the first of all lanes waits. Where hardware would wait for ever, or go on too
// early, for it knows even and odd groups only, lanes get NaN or never go on.
enum { most_boxes = 256, most_places = 16 };
struct MatrixHere { const char* first; i32 element, rows, columns, stride, height, width; };
static_assert(sizeof(MatrixHere) <= sizeof(Matrix), "a matrix is no longer than what tells of it");
struct Boxed { char* to; MatrixHere from; i32 column, row; const Arrival* at; };
static Boxed boxes_under_way[most_boxes];
static i32 boxes_there;
struct Expected { const Arrival* at; i32 bytes, asked, done; };
static Expected expected_at[most_places];
static i32 places_there;
inline Expected& expected_of(const Arrival* at) {
  for (i32 i = 0; i < places_there; i++) if (expected_at[i].at == at) return expected_at[i];
  if (places_there == most_places) misaligned();
  expected_at[places_there] = Expected{at, 0, 0, 0};
  return expected_at[places_there++];
}
#define MATRIX const Matrix
inline Matrix matrix_of(MatrixHere here) {
  Matrix m = {};
  memcpy(&m, &here, sizeof here);
  return m;
}

FUNCTION void ask_for_matrix(const Matrix*) {}
template <int places> FUNCTION void begin_arrivals(Arrival* all, bool) {
  barrier();
  if ((size_t)all % 8 != 0) misaligned();
  if (lane_here == 0)
    for (i32 i = 0; i < places; i++) {
      expected_of(all + i) = Expected{all + i, 0, 0, 0};
      all[i].left = 0;
    }
  barrier();
}
FUNCTION void expect_boxes(Arrival* at, i32 bytes) {
  Expected& e = expected_of(at);
  if (e.bytes != 0) misaligned();
  e.bytes = bytes;
  e.asked++;
  moves++;
}
// Piece `at` of a box, in rows of the swizzle that is as wide as they are.
inline char* piece_of(const Boxed& b, i32 at) {
  const size_t byte = (size_t)(b.to - (char*)shared_pool) + at, row = (size_t)(b.from.width * b.from.element);
  return (char*)shared_pool + (byte ^ ((byte >> 3) & (row - 16)));
}
FUNCTION void copy_box(void* to, const Matrix* from, i32 column, i32 row, Arrival* at) {
  MatrixHere m;
  memcpy(&m, from, sizeof m);
  const i32 wide = m.width * m.element;
  if ((size_t)to % (8 * wide) != 0 || boxes_there == most_boxes) misaligned();
  const Boxed b = {(char*)to, m, column, row, at};
  for (i32 i = 0; i < m.height * wide; i += 16) memset(piece_of(b, i), 0xff, 16);
  boxes_under_way[boxes_there++] = b;
}
inline void arrive(const Boxed& b) {
  const MatrixHere& m = b.from;
  for (i32 r = 0; r < m.height; r++)
    for (i32 c = 0; c < m.width; c++) {
      const i32 row = b.row + r, column = b.column + c, at = (r * m.width + c) * m.element;
      char* to = piece_of(b, at / 16 * 16) + at % 16;
      const bool inside = row >= 0 && row < m.rows && column >= 0 && column < m.columns;
      if (inside) memcpy(to, m.first + ((i64)row * m.stride + column) * m.element, m.element);
      else memset(to, 0, m.element);
    }
}
FUNCTION void wait_boxes(Arrival* at, i32 odd) {
  Expected& e = expected_of(at);
  // Goes on when the last group to be there is an even or an odd one, as asked for.
  while (true) {
    if (e.done > 0 && ((e.done - 1) & 1) == odd) break;
    if (e.asked > e.done && (e.done & 1) == odd) {
      i32 bytes = 0, left = 0;
      for (i32 i = 0; i < boxes_there; i++) {
        const Boxed b = boxes_under_way[i];
        if (b.at != at) { boxes_under_way[left++] = b; continue; }
        arrive(b);
        bytes += b.from.height * b.from.width * b.from.element;
      }
      boxes_there = left;
      if (bytes != e.bytes) misaligned();
      e.bytes = 0;
      e.done++;
      moves++;
      break;
    }
    give_way();
  }
}
FUNCTION void join_lanes() {}
// Lanes come one by one, and of each warp the last counts.
template <u32 warps> FUNCTION bool last_to_leave(Arrival* at) { return ++at->left % (warps * warp) == 0; }

// What lanes leave for the last of those who meet.
static void* left_results[most_lanes];
static const void *left_a[most_lanes], *left_b[most_lanes];

template <class F> inline void together(Meeting& m, i32 all, F work) {
  const i32 turn = m.turn;
  if (++m.there < all) {
    while (m.turn == turn) give_way();
    return;
  }
  work();
  m.there = 0;
  m.turn++;
  moves++;
}

template <int count, bool turned, class P> inline void load_matrices(P* to, const void* row) {
  if ((size_t)row % 16 != 0) misaligned();
  const i32 first = lane_here / warp * warp;
  left_results[lane_here] = to;
  left_a[lane_here] = row;
  together(of_warps[lane_here / warp], warp, [&] {
    for (i32 l = 0; l < warp; l++)
      for (i32 i = 0; i < count; i++) {
        const i32 rows = first + 8 * i;
        u32& word = ((P*)left_results[first + l])[i].word;
        if (!turned) word = ((const u32*)left_a[rows + l / 4])[l % 4];
        else {
          const i32 k = 2 * (l % 4);
          word = ((const u16*)left_a[rows + k])[l / 4] | (u32)((const u16*)left_a[rows + k + 1])[l / 4] << 16;
        }
      }
  });
}
template <class P> FUNCTION void load_matrices_2(P* to, const void* row) { load_matrices<2, false>(to, row); }
template <class P> FUNCTION void load_matrices_4(P* to, const void* row) { load_matrices<4, false>(to, row); }
template <class P> FUNCTION void load_turned_matrices_2(P* to, const void* row) { load_matrices<2, true>(to, row); }
template <class P> FUNCTION void load_turned_matrices_4(P* to, const void* row) { load_matrices<4, true>(to, row); }

inline f32 wide_half(bf16_pair, u16 half) { return from_bits((u32)half << 16); }
inline f32 wide_half(f16_pair, u16 half) { return widen_f16(half); }
template <class P> inline f32 half_of(const P* p, i32 word, i32 odd) { return wide_half(P(), (u16)(p[word].word >> 16 * odd)); }

// The PTX ISA's tables of m16n8k16: which lane, word and half of it have an element.
template <class P> inline f32 of_a(const void* const* held, i32 row, i32 k) {
  return half_of((const P*)held[row % 8 * 4 + k % 8 / 2], row / 8 + 2 * (k / 8), k % 2);
}
template <class P> inline f32 of_b(const void* const* held, i32 k, i32 column) {
  return half_of((const P*)held[column * 4 + k % 8 / 2], k / 8, k % 2);
}
template <class P> inline void multiply_m16n8k16(f32* c, const P* a, const P* b) {
  const i32 first = lane_here / warp * warp;
  left_results[lane_here] = c;
  left_a[lane_here] = a;
  left_b[lane_here] = b;
  together(of_warps[lane_here / warp], warp, [&] {
    f32 rows[16][16], columns[8][16];
    for (i32 k = 0; k < 16; k++) {
      for (i32 i = 0; i < 16; i++) rows[i][k] = of_a<P>(left_a + first, i, k);
      for (i32 j = 0; j < 8; j++) columns[j][k] = of_b<P>(left_b + first, k, j);
    }
    for (i32 l = 0; l < warp; l++)
      for (i32 e = 0; e < 4; e++) {
        f32& sum = ((f32*)left_results[first + l])[e];
        const f32 *x = rows[l / 4 + 8 * (e / 2)], *y = columns[2 * (l % 4) + e % 2];
        for (i32 k = 0; k < 16; k++) sum += x[k] * y[k];
      }
  });
}
#define PRODUCT(storage) \
  template <int fresh = 0> FUNCTION void multiply_mma_m16n8k16_##storage(f32* c, const storage##_pair* a, const storage##_pair* b) { \
    for (i32 i = 0; fresh && i < 4; i++) c[i] = 0.0f; \
    multiply_m16n8k16(c, a, b); }
PRODUCT(bf16) PRODUCT(f16)

// A tile: where it begins in the pool, how long its rows are, whether they go along the free axis, and how far apart panels of those are.
inline Tile tile_from(const void* first, i32 row, bool columns, i32 panel) {
  const unsigned long long from = (u32)((const char*)first - (const char*)shared_pool);
  return Tile{from | (unsigned long long)row << 20 | (unsigned long long)columns << 30 | (unsigned long long)panel << 32};
}
template <int row> FUNCTION Tile tile_of_rows(const void* first) { return tile_from(first, row, false, 0); }
template <int row, int panel = 16> FUNCTION Tile tile_of_columns(const void* first) { return tile_from(first, row, true, panel); }
inline i32 is_of_columns(Tile t) { return (i32)(t.word >> 30 & 1); }
inline u16 half_in(Tile t, i32 free, i32 k) {
  const i32 first = (i32)(t.word & 0xfffff), row = (i32)(t.word >> 20 & 0x3ff), panel = (i32)(t.word >> 32), wide = row / 2;
  const i32 at = first + (is_of_columns(t) ? k * row + 2 * (free % wide) + free / wide * panel : free * row + 2 * k);
  return *(const u16*)((const char*)shared_pool + (at ^ ((at >> 3) & (row - 16))));
}

// A product that was begun by a group of warps, and what it saw then.
struct Product { f32* c[group_of_warps]; f32 a[64][16], b[most_wide][16]; Tile tile_a, tile_b; bool held, wrong; i32 wide, group; };
// Results of which products are under way.
struct Result { f32* c[group_of_warps]; i32 wide; f32 value[group_of_warps][most_wide / 2]; };
struct Group { Product products[most_products]; Result results[4]; i32 there, results_there, committed; bool begun; Meeting meeting; };
static Group groups_of_warps[most_lanes / group_of_warps];

inline Group& own_group() { return groups_of_warps[lane_here / group_of_warps]; }
template <class F> inline void all_of_group(F work) { together(own_group().meeting, group_of_warps, work); }
// What a product takes as it is now: `a` of its lanes, or of its tile.
template <class P> inline void see(const Product& p, f32 (&a)[64][16], f32 (&b)[most_wide][16], const void* const* held) {
  for (i32 k = 0; k < 16; k++) {
    for (i32 i = 0; i < 64; i++)
      a[i][k] = held != NULL ? of_a<P>(held + i / 16 * warp, i % 16, k) : p.held ? p.a[i][k] : wide_half(P(), half_in(p.tile_a, i, k));
    for (i32 j = 0; j < p.wide; j++) b[j][k] = wide_half(P(), half_in(p.tile_b, j, k));
  }
}
template <class P> inline bool has_changed(const Product& p) {
  static f32 a[64][16], b[most_wide][16];
  see<P>(p, a, b, NULL);
  return memcmp(a, p.a, sizeof a) != 0 || memcmp(b, p.b, sizeof b[0] * p.wide) != 0;
}
static bool (*changed_of[2])(const Product&) = {has_changed<bf16_pair>, has_changed<f16_pair>};
inline i32 kind_of(bf16_pair) { return 0; }
inline i32 kind_of(f16_pair) { return 1; }

template <class P, int wide, int fresh> inline void begin_product(f32* c, const P* a, Tile tile_a, Tile tile_b) {
  const i32 first = lane_here / group_of_warps * group_of_warps;
  left_results[lane_here] = c;
  left_a[lane_here] = a;
  all_of_group([&] {
    Group& g = own_group();
    if (g.there == most_products) misaligned();
    Product& p = g.products[g.there++];
    p.tile_a = tile_a;
    p.tile_b = tile_b;
    p.held = a != NULL;
    p.wide = wide;
    p.group = kind_of(P()) << 16 | g.committed;
    p.wrong = false;
    for (i32 l = 0; l < lanes_here; l++) p.wrong = p.wrong || unshown[l];
    for (i32 l = 0; l < group_of_warps; l++) p.c[l] = (f32*)left_results[first + l];
    see<P>(p, p.a, p.b, p.held ? left_a + first : NULL);
    Result* r = g.results;
    while (r < g.results + g.results_there && r->c[0] != p.c[0]) r++;
    const bool is_new = r == g.results + g.results_there;
    if (is_new && g.results_there++ == 4) misaligned();
    if (is_new && !g.begun) p.wrong = true;
    memcpy(r->c, p.c, sizeof p.c);
    r->wide = wide;
    for (i32 l = 0; l < group_of_warps; l++)
      for (i32 e = 0; e < wide / 2; e++) {
        if (is_new) r->value[l][e] = fresh ? 0.0f : p.c[l][e];
        else if (fresh) p.wrong = true;
        else if (bits(p.c[l][e]) != 0xffffffffu) p.wrong = true;
        p.c[l][e] = from_bits(0xffffffffu);
      }
  });
}
#define GROUP_PRODUCTS(wide, storage) \
  template <int turned_a, int turned_b, int fresh = 0> FUNCTION void multiply_wgmma_m64n##wide##k16_##storage(f32* c, Tile a, Tile b) { \
    if (turned_a != is_of_columns(a) || turned_b != is_of_columns(b)) misaligned(); \
    begin_product<storage##_pair, wide, fresh>(c, (const storage##_pair*)NULL, a, b); } \
  template <int turned_a, int turned_b, int fresh = 0> FUNCTION void multiply_wgmma_m64n##wide##k16_##storage(f32* c, const storage##_pair* a, Tile b) { \
    if (turned_b != is_of_columns(b)) misaligned(); \
    begin_product<storage##_pair, wide, fresh>(c, a, Tile(), b); }
GROUP_PRODUCTS(64, bf16) GROUP_PRODUCTS(128, bf16) GROUP_PRODUCTS(256, bf16)
GROUP_PRODUCTS(64, f16) GROUP_PRODUCTS(128, f16) GROUP_PRODUCTS(256, f16)

FUNCTION void show_products() { unshown[lane_here] = false; }
FUNCTION void begin_products() { all_of_group([] { own_group().begun = true; }); }
FUNCTION void commit_products() { all_of_group([] { own_group().committed++; }); }
// The PTX ISA's table of results: columns by pairs, rows by lanes and warps.
inline void carry_out(Group& g, Product& p) {
  Result* r = g.results;
  while (r->c[0] != p.c[0]) r++;
  const bool wrong = p.wrong || changed_of[p.group >> 16](p);
  for (i32 l = 0; l < group_of_warps; l++)
    for (i32 e = 0; e < p.wide / 2; e++) {
      const f32 *x = p.a[l / 32 * 16 + l % 32 / 4 + 8 * (e / 2 % 2)], *y = p.b[e / 4 * 8 + 2 * (l % 4) + e % 2];
      f32& sum = r->value[l][e];
      for (i32 k = 0; k < 16; k++) sum += x[k] * y[k];
      if (wrong) sum = from_bits(0x7fc00000u);
    }
}
template <int youngest> FUNCTION void wait_products() {
  all_of_group([] {
    Group& g = own_group();
    i32 done = 0;
    while (done < g.there && (g.products[done].group & 0xffff) < g.committed - youngest) carry_out(g, g.products[done++]);
    for (i32 i = done; i < g.there; i++) g.products[i - done] = g.products[i];
    // Results of which nothing is under way any more.
    g.there -= done;
    for (i32 i = 0; i < g.results_there; i++) {
      const Result& r = g.results[i];
      bool pending = false;
      for (i32 j = 0; j < g.there; j++) pending = pending || g.products[j].c[0] == r.c[0];
      if (pending) continue;
      for (i32 l = 0; l < group_of_warps; l++)
        for (i32 e = 0; e < r.wide / 2; e++) r.c[l][e] = r.value[l][e];
      g.results[i--] = g.results[--g.results_there];
    }
    g.begun = false;
  });
}
template <i32 lanes> FUNCTION i32 lane_of_cell() { return lane_number(); }
template <int N> FUNCTION void keep(f32*) {}
template <int N, class P> FUNCTION void keep(P*) {}
inline void forget_what_is_under_way() {
  boxes_there = places_there = 0;
  memset(copies_there, 0, sizeof copies_there);
  memset(groups_there, 0, sizeof groups_there);
  memset(unshown, 0, sizeof unshown);
  for (Group& g : groups_of_warps) { g.there = g.results_there = g.committed = 0; g.begun = false; g.meeting = Meeting(); }
}
