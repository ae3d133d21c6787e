// Colours for code: comments, strings, numbers, keywords, names that are called. One pass with one expression a family of
// languages, each of whose alternatives takes at least one character and never goes back over what it took.

const WORDS = (text) => new Set(text.trim().split(/\s+/));

const C_LIKE = {
  pattern: /(?<comment>\/\/[^\n]*|\/\*(?:[^*]|\*(?!\/))*(?:\*\/|$))|(?<string>"(?:[^"\\\n]|\\[^])*"?|'(?:[^'\\\n]|\\[^])*'|`(?:[^`\\]|\\[^])*`?)|(?<number>\b\d[\w.]*)|(?<word>[\p{L}_$][\p{L}\p{N}_$]*)|[^]/gu,
  keywords: WORDS(`abstract and as async await auto bool boolean break byte case catch char class concept const constexpr continue
    crate debugger def default defer delete do double dyn else enum export extends extern false final finally float fn for foreach
    from func function go if impl implements import in inline instanceof int interface internal is let long loop match mod move mut
    namespace native new nil not null nullptr number object of operator or out override package private protected pub public range
    readonly ref return sealed select self short signed sizeof static string struct super switch template this throw throws trait
    true try type typedef typename typeof undefined union unsafe unsigned use using val var virtual void volatile where while yield`),
};

const HASH = {
  pattern: /(?<comment>#[^\n]*)|(?<string>"""(?:[^"\\]|\\[^]|"(?!""))*(?:"""|$)|'''(?:[^'\\]|\\[^]|'(?!''))*(?:'''|$)|"(?:[^"\\\n]|\\[^])*"?|'(?:[^'\\\n]|\\[^])*'?)|(?<number>\b\d[\w.]*)|(?<word>[\p{L}_][\p{L}\p{N}_]*)|[^]/gu,
  keywords: WORDS(`and as assert async await begin break case class continue def del do done elif else elsif end ensure esac except
    exit export False fi finally for from function global if import in is lambda local match module nil None nonlocal not or pass
    raise require rescue return self set source then True try unless until when while with yield true false null`),
};

const SQL = {
  pattern: /(?<comment>--[^\n]*|\/\*(?:[^*]|\*(?!\/))*(?:\*\/|$))|(?<string>'(?:[^'])*'?|"(?:[^"\n])*"?)|(?<number>\b\d[\w.]*)|(?<word>[\p{L}_][\p{L}\p{N}_]*)|[^]/gu,
  keywords: WORDS(`add all alter and as asc begin between by case cast check commit constraint create cross default delete desc
    distinct drop else end except exists false foreign from full group having if in index inner insert intersect into is join key
    left like limit not null offset on or order outer over partition primary references returning right rollback select set table
    then true union unique update using values view when where with int integer text varchar`),
  ignoreCase: true,
};

const MARKUP = {
  pattern: /(?<comment><!--(?:[^-]|-(?!->))*(?:-->|$))|(?<string>"[^"]*"?|'[^'\n]*'?)|(?<keyword><\/?[\w:-]+|\/?>)|[^]/gu,
  keywords: new Set(),
};

const LANGUAGES = new Map();
const add = (family, names) => names.split(" ").forEach((name) => LANGUAGES.set(name, family));
add(C_LIKE, "c cc cpp c++ h hpp cuda cu hip glsl hlsl java javascript js jsx ts tsx typescript json jsonc go golang rust rs swift " +
            "kotlin kt scala dart csharp cs c# php zig css scss less");
add(HASH, "python py python3 bash sh shell zsh console ruby rb yaml yml toml ini conf perl r make makefile dockerfile cmake nix elixir julia");
add(SQL, "sql postgres postgresql mysql sqlite");
add(MARKUP, "html xml svg xhtml vue");

const MAX_LENGTH = 200_000;

/** Pairs of a class (or null) and a piece of `code`; joined, the pieces are the code. */
export function highlight(code, language) {
  const family = code.length <= MAX_LENGTH ? LANGUAGES.get(language.toLowerCase()) : null;
  if (!family) return [[null, code]];
  const pieces = [];
  let plain = "";
  const push = (kind, text) => {
    if (!kind) return void (plain += text);
    if (plain) pieces.push([null, plain]);
    plain = "";
    pieces.push([kind, text]);
  };
  for (const match of code.matchAll(family.pattern)) {
    push(kindOf(match, family, code), match[0]);
  }
  if (plain) pieces.push([null, plain]);
  return pieces;
}

function kindOf({ 0: text, groups, index }, family, code) {
  if (groups.comment) return "comment";
  if (groups.string) return "string";
  if (groups.number) return "number";
  if (groups.keyword) return "keyword";
  if (!groups.word) return null;
  if (family.keywords.has(family.ignoreCase ? text.toLowerCase() : text)) return "keyword";
  return code[index + text.length] === "(" ? "call" : null;
}
