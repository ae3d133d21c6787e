// LaTeX's names of mathematical characters, by what they are in a formula.

/** "alpha α beta β" to {alpha: "α", …}, without Object's own names. */
function table(text) {
  const words = text.trim().split(/\s+/);
  const result = Object.create(null);
  for (let i = 0; i < words.length; i += 2) result[words[i]] = words[i + 1];
  return result;
}

export const LETTERS = table(`
  alpha α beta β gamma γ delta δ epsilon ϵ varepsilon ε zeta ζ eta η theta θ vartheta ϑ iota ι kappa κ varkappa ϰ
  lambda λ mu μ nu ν xi ξ omicron ο pi π varpi ϖ rho ρ varrho ϱ sigma σ varsigma ς tau τ upsilon υ phi ϕ varphi φ
  chi χ psi ψ omega ω Gamma Γ Delta Δ Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ Upsilon Υ Phi Φ Psi Ψ Omega Ω
  infty ∞ partial ∂ nabla ∇ hbar ℏ ell ℓ imath ı jmath ȷ Re ℜ Im ℑ wp ℘ aleph ℵ beth ℶ emptyset ∅ varnothing ∅
  angle ∠ measuredangle ∡ triangle △ square □ Box □ blacksquare ■ diamond ⋄ Diamond ◊ star ⋆ bigstar ★ dagger † ddagger ‡
  forall ∀ exists ∃ nexists ∄ top ⊤ bot ⊥ flat ♭ natural ♮ sharp ♯ clubsuit ♣ diamondsuit ♢ heartsuit ♡ spadesuit ♠
  prime ′ degree ° ldots … dots … cdots ⋯ vdots ⋮ ddots ⋱ dotsc … dotsb ⋯ dotsi ⋯ dotsm ⋯ hslash ℏ mho ℧ complement ∁
  checkmark ✓ pounds £ yen ¥ S § P ¶ copyright © circledR ® backslash \\ _ _ & & % % $ $ # # QED ∎`);

export const OPERATORS = table(`
  pm ± mp ∓ times × div ÷ cdot ⋅ ast ∗ circ ∘ bullet ∙ oplus ⊕ ominus ⊖ otimes ⊗ oslash ⊘ odot ⊙ wedge ∧ land ∧ vee ∨
  lor ∨ cap ∩ cup ∪ uplus ⊎ sqcap ⊓ sqcup ⊔ setminus ∖ smallsetminus ∖ amalg ⨿ lnot ¬ neg ¬ wr ≀ ltimes ⋉ rtimes ⋊
  bigtriangleup △ bigtriangledown ▽ triangleleft ◃ triangleright ▹
  leq ≤ le ≤ geq ≥ ge ≥ leqslant ⩽ geqslant ⩾ neq ≠ ne ≠ equiv ≡ approx ≈ approxeq ≊ sim ∼ simeq ≃ cong ≅ propto ∝
  varpropto ∝ ll ≪ gg ≫ lll ⋘ ggg ⋙ lesssim ≲ gtrsim ≳ prec ≺ succ ≻ preceq ⪯ succeq ⪰ subset ⊂ supset ⊃ subseteq ⊆
  supseteq ⊇ subsetneq ⊊ supsetneq ⊋ nsubseteq ⊈ sqsubseteq ⊑ sqsupseteq ⊒ in ∈ notin ∉ ni ∋ owns ∋ mid ∣ nmid ∤
  parallel ∥ nparallel ∦ perp ⊥ vdash ⊢ dashv ⊣ models ⊨ vDash ⊨ Vdash ⊩ asymp ≍ doteq ≐ coloneqq ≔ triangleq ≜
  bowtie ⋈ smile ⌣ frown ⌢ therefore ∴ because ∵ lt < gt > colon : nless ≮ ngtr ≯ nleq ≰ ngeq ≱
  to → rightarrow → leftarrow ← gets ← leftrightarrow ↔ Rightarrow ⇒ Leftarrow ⇐ Leftrightarrow ⇔ implies ⟹
  impliedby ⟸ iff ⟺ longrightarrow ⟶ longleftarrow ⟵ longleftrightarrow ⟷ Longrightarrow ⟹ Longleftarrow ⟸
  Longleftrightarrow ⟺ mapsto ↦ longmapsto ⟼ hookrightarrow ↪ hookleftarrow ↩ uparrow ↑ downarrow ↓ updownarrow ↕
  Uparrow ⇑ Downarrow ⇓ Updownarrow ⇕ nearrow ↗ searrow ↘ swarrow ↙ nwarrow ↖ rightharpoonup ⇀ rightharpoondown ⇁
  leftharpoonup ↼ leftharpoondown ↽ rightleftharpoons ⇌ leadsto ⇝ rightsquigarrow ⇝ twoheadrightarrow ↠ nrightarrow ↛`);

/** Those that take their limits above and below where there is room. */
export const LARGE_OPERATORS = table(`
  sum ∑ prod ∏ coprod ∐ bigcap ⋂ bigcup ⋃ bigsqcup ⨆ bigvee ⋁ bigwedge ⋀ bigoplus ⨁ bigotimes ⨂ bigodot ⨀ biguplus ⨄`);

export const INTEGRALS = table("int ∫ iint ∬ iiint ∭ oint ∮ oiint ∯");

export const DELIMITERS = table(`
  langle ⟨ rangle ⟩ lceil ⌈ rceil ⌉ lfloor ⌊ rfloor ⌋ lbrace { rbrace } { { } } lbrack [ rbrack ] vert | lvert | rvert |
  Vert ‖ lVert ‖ rVert ‖ | ‖ lgroup ⟮ rgroup ⟯ ulcorner ⌜ urcorner ⌝`);

export const ACCENTS = table(`
  hat ^ widehat ^ bar ¯ overline ¯ vec → overrightarrow → overleftarrow ← dot ˙ ddot ¨ dddot ⃛ tilde ~ widetilde ~
  check ˇ breve ˘ acute ´ grave \` mathring ˚ overbrace ⏞`);

export const UNDER_ACCENTS = table("underline _ underbrace ⏟ underrightarrow → underleftarrow ←");

export const FUNCTIONS = new Set(`
  sin cos tan cot sec csc sinh cosh tanh coth arcsin arccos arctan log ln lg exp deg dim hom ker arg
`.trim().split(/\s+/));

/** Functions that take their limits below. */
export const LIMIT_FUNCTIONS = Object.assign(Object.create(null), {
  lim: "lim", limsup: "lim sup", liminf: "lim inf", max: "max", min: "min", sup: "sup", inf: "inf", det: "det", gcd: "gcd",
  Pr: "Pr", argmax: "arg max", argmin: "arg min",
});

/** Widths in em. */
export const SPACES = Object.assign(Object.create(null), {
  ",": 0.167, thinspace: 0.167, ":": 0.222, ">": 0.222, medspace: 0.222, ";": 0.278, thickspace: 0.278, "!": -0.167,
  " ": 0.25, "\n": 0.25, "~": 0.25, enspace: 0.5, quad: 1, qquad: 2,
});

const PLANES = {
  bold: { A: 0x1d400, a: 0x1d41a, 0: 0x1d7ce },
  italic: { A: 0x1d434, a: 0x1d44e },
  boldItalic: { A: 0x1d468, a: 0x1d482 },
  script: { A: 0x1d49c, a: 0x1d4b6 },
  fraktur: { A: 0x1d504, a: 0x1d51e },
  double: { A: 0x1d538, a: 0x1d552, 0: 0x1d7d8 },
  sans: { A: 0x1d5a0, a: 0x1d5ba, 0: 0x1d7e2 },
  mono: { A: 0x1d670, a: 0x1d68a, 0: 0x1d7f6 },
};

/** Letters that Unicode had before it got its mathematical alphabets. */
const EXCEPTIONS = {
  italic: { h: "ℎ" },
  script: { B: "ℬ", E: "ℰ", F: "ℱ", H: "ℋ", I: "ℐ", L: "ℒ", M: "ℳ", R: "ℛ", e: "ℯ", g: "ℊ", o: "ℴ" },
  fraktur: { C: "ℭ", H: "ℌ", I: "ℑ", R: "ℜ", Z: "ℨ" },
  double: { C: "ℂ", H: "ℍ", N: "ℕ", P: "ℙ", Q: "ℚ", R: "ℝ", Z: "ℤ" },
};

/** A letter or digit in a mathematical alphabet; others stay as they are. */
export function inAlphabet(char, alphabet) {
  const exception = EXCEPTIONS[alphabet]?.[char];
  if (exception) return exception;
  const plane = PLANES[alphabet];
  const base = /^[A-Z]$/.test(char) ? "A" : /^[a-z]$/.test(char) ? "a" : /^[0-9]$/.test(char) ? "0" : null;
  if (!plane || base === null || plane[base] === undefined) return char;
  return String.fromCodePoint(plane[base] + char.charCodeAt(0) - base.charCodeAt(0));
}
