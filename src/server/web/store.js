// Conversations in the browser's IndexedDB; in memory where there is none (private windows of some browsers).

const VERSION = 1;
const HEADS = "heads", CONVERSATIONS = "conversations";

const done = (request) => new Promise((resolve, reject) => {
  request.onsuccess = () => resolve(request.result);
  request.onerror = () => reject(request.error);
});

const finished = (transaction) => new Promise((resolve, reject) => {
  transaction.oncomplete = () => resolve();
  transaction.onabort = transaction.onerror = () => reject(transaction.error);
});

const headOf = ({ id, title, updated }) => ({ id, title, updated });

function openDatabase(name) {
  const request = indexedDB.open(name, VERSION);
  request.onupgradeneeded = () => {
    request.result.createObjectStore(HEADS, { keyPath: "id" });
    request.result.createObjectStore(CONVERSATIONS, { keyPath: "id" });
  };
  return done(request);
}

class DatabaseStore {
  isPersistent = true;

  constructor(database) {
    this.database = database;
  }

  /** Ids, titles and times, the newest first. */
  async heads() {
    const heads = await done(this.database.transaction(HEADS).objectStore(HEADS).getAll());
    return heads.sort((a, b) => b.updated - a.updated);
  }

  /** undefined if there is none. */
  get(id) {
    return done(this.database.transaction(CONVERSATIONS).objectStore(CONVERSATIONS).get(id));
  }

  all() {
    return done(this.database.transaction(CONVERSATIONS).objectStore(CONVERSATIONS).getAll());
  }

  /** Errors: QuotaExceededError; what was there before stays. */
  put(conversation) {
    return this.change((heads, conversations) => {
      heads.put(headOf(conversation));
      conversations.put(conversation);
    });
  }

  remove(id) {
    return this.change((heads, conversations) => {
      heads.delete(id);
      conversations.delete(id);
    });
  }

  change(act) {
    const transaction = this.database.transaction([HEADS, CONVERSATIONS], "readwrite");
    act(transaction.objectStore(HEADS), transaction.objectStore(CONVERSATIONS));
    return finished(transaction);
  }
}

class MemoryStore {
  isPersistent = false;
  conversations = new Map();

  async heads() {
    return [...this.conversations.values()].map(headOf).sort((a, b) => b.updated - a.updated);
  }

  async get(id) {
    return this.conversations.get(id);
  }

  async all() {
    return [...this.conversations.values()];
  }

  async put(conversation) {
    this.conversations.set(conversation.id, structuredClone(conversation));
  }

  async remove(id) {
    this.conversations.delete(id);
  }
}

/** `name`: servers behind one host, with a path each, have a store each. */
export async function openStore(name) {
  try {
    return new DatabaseStore(await openDatabase(name));
  } catch {
    return new MemoryStore();
  }
}
