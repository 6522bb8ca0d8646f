/* sink.c - a near-zero-cost fake of S3 / GCS (JSON+XML) / Azure Blob for client benchmarks.
 * Bodies of PUT/POST are discarded inside the kernel (recv MSG_TRUNC), GET is sendfile().
 * Thread per connection, keep-alive, Expect: 100-continue, Transfer-Encoding: chunked.
 * Build: gcc -O2 -pthread -o sink sink.c -lz -lssl -lcrypto      Run: ./sink PORT DATADIR [crc32c_b64 of 1g.bin] [of 256m.bin] [of 4k.bin]
 * Keys: basename holding 1g / 256m / 4k -> that file; prefix new/ -> 404 on GET/HEAD.
 * Listing: NKEYS keys list/00000000.bin..., pages of 1000, V1 (marker) and V2 (continuation-token / start-after).
 * NO auth, NO signature check. Loopback only. It ends with its parent, and after an hour at the latest. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <sys/mman.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <openssl/ssl.h>
#include <zlib.h>

#define NKEYS 100000
#define PAGE 1000
#define NPAGES (NKEYS / PAGE)
#define BUFSZ 65536
#define LM "Mon, 23 Nov 2026 10:00:00 GMT"
#define ETAG "\"d41d8cd98f00b204e9800998ecf8427e\""

static const char *datadir;
struct file { const char *tag, *name; int fd; char *map; long size; const char *crc32c; char crc32_b64[16]; char md5b64[32]; };
static struct file files[] = {{"1g", "1g.bin", -1, NULL, 0, "AAAAAA==", "", ""}, {"256m", "256m.bin", -1, NULL, 0, "AAAAAA==", "", ""}, {"4k", "4k.bin", -1, NULL, 0, "AAAAAA==", "", ""}};
static char *page_body[NPAGES]; static size_t page_len[NPAGES];   /* <Contents> blocks only */
static int log_on = 0;

struct conn { int fd; SSL *ssl; char *big; char buf[BUFSZ]; size_t n; };
static SSL_CTX *sctx;
struct req {
  char method[16], path[4096], query[4096];
  long clen; int chunked, expect, close, has_range; long r0, r1; /* r1=-1: to the end; r0=-1: suffix r1 */
  char copysrc[8], crange[128], ghash[200]; int checksum_mode;
};

static void b64(const unsigned char *in, int n, char *out) {
  static const char t[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  int o = 0;
  for (int i = 0; i < n; i += 3) {
    unsigned v = in[i] << 16 | (i + 1 < n ? in[i + 1] << 8 : 0) | (i + 2 < n ? in[i + 2] : 0);
    out[o++] = t[v >> 18 & 63]; out[o++] = t[v >> 12 & 63];
    out[o++] = i + 1 < n ? t[v >> 6 & 63] : '='; out[o++] = i + 2 < n ? t[v & 63] : '=';
  }
  out[o] = 0;
}
static struct file *file_for(const char *key) {
  for (int i = 0; i < 3; i++) if (strstr(key, files[i].tag)) return &files[i];
  return &files[2];
}
static int wrc(struct conn *c, const char *p, size_t n, int flags) {
  int fd = c->fd;
  if (c->ssl) { while (n) { int w = SSL_write(c->ssl, p, n > (1 << 20) ? (1 << 20) : n); if (w <= 0) return -1; p += w; n -= w; } return 0; }
  while (n) { ssize_t w = send(fd, p, n, flags | MSG_NOSIGNAL); if (w <= 0) { if (w < 0 && errno == EINTR) continue; return -1; } p += w; n -= w; }
  return 0;
}
static int discard(struct conn *c, long n) {
  if ((long)c->n >= n) { memmove(c->buf, c->buf + n, c->n - n); c->n -= n; return 0; }
  n -= c->n; c->n = 0;
  if (c->ssl) {
    if (!c->big) c->big = malloc(1 << 18);
    while (n > 0) { int r = SSL_read(c->ssl, c->big, n > (1 << 18) ? (1 << 18) : n); if (r <= 0) return -1; n -= r; }
    return 0;
  }
  while (n > 0) {
    ssize_t r = recv(c->fd, NULL, n > (4 << 20) ? (4 << 20) : n, MSG_TRUNC);
    if (r <= 0) { if (r < 0 && errno == EINTR) continue; return -1; }
    n -= r;
  }
  return 0;
}
static int fill(struct conn *c) {
  if (c->n >= BUFSZ - 1) return -1;
  ssize_t r = c->ssl ? SSL_read(c->ssl, c->buf + c->n, BUFSZ - 1 - c->n) : recv(c->fd, c->buf + c->n, BUFSZ - 1 - c->n, 0);
  if (r <= 0) return -1;
  c->n += r; c->buf[c->n] = 0; return 0;
}
static int discard_chunked(struct conn *c) {
  for (;;) {
    char *e;
    c->buf[c->n] = 0;
    while (!(e = memmem(c->buf, c->n, "\r\n", 2))) if (fill(c)) return -1;
    long sz = strtol(c->buf, NULL, 16);
    size_t h = e + 2 - c->buf;
    memmove(c->buf, c->buf + h, c->n - h); c->n -= h;
    if (sz == 0) { /* trailers until the empty line */
      for (;;) {
        c->buf[c->n] = 0;
        while (!(e = memmem(c->buf, c->n, "\r\n", 2))) if (fill(c)) return -1;
        h = e + 2 - c->buf; memmove(c->buf, c->buf + h, c->n - h); c->n -= h;
        if (h == 2) return 0;
      }
    }
    if (discard(c, sz + 2)) return -1;
  }
}
static void unq(char *s) { char *o = s; for (; *s; s++) { if (*s == '%' && isxdigit(s[1]) && isxdigit(s[2])) { char h[3] = {s[1], s[2], 0}; *o++ = strtol(h, 0, 16); s += 2; } else if (*s == '+') *o++ = ' '; else *o++ = *s; } *o = 0; }
static int arg(const char *q, const char *name, char *out, size_t cap) { /* 1 if there, decoded value */
  size_t nl = strlen(name);
  while (*q) {
    const char *e = strchr(q, '&'); if (!e) e = q + strlen(q);
    if (!strncmp(q, name, nl) && (q[nl] == '=' || q[nl] == '&' || q[nl] == 0)) {
      size_t l = 0; const char *v = q + nl;
      if (*v == '=') { v++; l = e - v; if (l >= cap) l = cap - 1; memcpy(out, v, l); }
      out[l] = 0; unq(out); return 1;
    }
    q = *e ? e + 1 : e;
  }
  out[0] = 0; return 0;
}
static void parse_range(struct req *r, const char *v) {
  const char *p = strstr(v, "bytes="); if (!p) return; p += 6; r->has_range = 1;
  if (*p == '-') { r->r0 = -1; r->r1 = atol(p + 1); return; }
  r->r0 = strtol(p, (char **)&p, 10); r->r1 = -1;
  if (*p == '-' && isdigit(p[1])) r->r1 = atol(p + 1);
}
static int resp(struct conn *c, struct req *r, const char *status, const char *hdrs, const char *ctype, const char *body, long blen) {
  char h[4096];
  int n = snprintf(h, sizeof h, "HTTP/1.1 %s\r\nServer: sink\r\nDate: " LM "\r\nx-amz-request-id: 1\r\nx-ms-request-id: 00000000-0000-0000-0000-000000000000\r\nx-ms-version: 2024-08-04\r\n%s%s%s%sContent-Length: %ld\r\nConnection: %s\r\n\r\n",
    status, hdrs ? hdrs : "", ctype ? "Content-Type: " : "", ctype ? ctype : "", ctype ? "\r\n" : "", blen, r->close ? "close" : "keep-alive");
  int body_out = body && blen && strcmp(r->method, "HEAD");
  if (wrc(c, h, n, body_out ? MSG_MORE : 0)) return -1;
  return body_out ? wrc(c, body, blen, 0) : 0;
}
static int respz(struct conn *c, struct req *r, const char *status, const char *hdrs, const char *ctype, const char *body) { return resp(c, r, status, hdrs, ctype, body, strlen(body)); }

static int send_obj(struct conn *c, struct req *r, const char *key, int azure) {
  struct file *f = file_for(key);
  long a = 0, b = f->size - 1; char h[1024]; int n = 0;
  if (r->has_range) {
    if (r->r0 < 0) { a = f->size - r->r1; if (a < 0) a = 0; }
    else { a = r->r0; if (r->r1 >= 0 && r->r1 < b) b = r->r1; }
    if (a > b) { snprintf(h, sizeof h, "Content-Range: bytes */%ld\r\n", f->size); return respz(c, r, "416 Range Not Satisfiable", h, "application/xml", "<?xml version=\"1.0\"?><Error><Code>InvalidRange</Code><Message>x</Message></Error>"); }
    n += snprintf(h + n, sizeof h - n, "Content-Range: bytes %ld-%ld/%ld\r\n", a, b, f->size);
  } else if (r->checksum_mode) n += snprintf(h + n, sizeof h - n, "x-amz-checksum-crc32: %s\r\nx-amz-checksum-type: FULL_OBJECT\r\n", f->crc32_b64);
  n += snprintf(h + n, sizeof h - n, "ETag: " ETAG "\r\nLast-Modified: " LM "\r\nAccept-Ranges: bytes\r\nx-goog-hash: crc32c=%s\r\nx-goog-generation: 1\r\nx-goog-metageneration: 1\r\nx-goog-stored-content-length: %ld\r\nx-goog-storage-class: STANDARD\r\n%s", f->crc32c, f->size,
    azure ? "x-ms-blob-type: BlockBlob\r\nx-ms-creation-time: " LM "\r\nx-ms-server-encrypted: true\r\nx-ms-lease-status: unlocked\r\nx-ms-lease-state: available\r\n" : "");
  int head = !strcmp(r->method, "HEAD");
  if (resp(c, r, r->has_range ? "206 Partial Content" : "200 OK", h, "application/octet-stream", NULL, b - a + 1)) return -1;
  if (head) return 0;
  off_t off = a; long left = b - a + 1;
  if (c->ssl) return wrc(c, f->map + a, left, 0);
  while (left > 0) { ssize_t w = sendfile(c->fd, f->fd, &off, left); if (w <= 0) { if (w < 0 && errno == EINTR) continue; return -1; } left -= w; }
  return 0;
}
static long key_no(const char *s) { const char *p = strrchr(s, '/'); p = p ? p + 1 : s; while (*p && !isdigit(*p)) p++; return strtol(p, NULL, 10); }

static int s3_list(struct conn *c, struct req *r, int v2) {
  char pre[1024], tok[1024], mk[64]; int page = 0;
  arg(r->query, "prefix", pre, sizeof pre);
  arg(r->query, "max-keys", mk, sizeof mk);
  if (v2) {
    if (arg(r->query, "continuation-token", tok, sizeof tok) && tok[0]) page = atoi(tok + 1);
    else if (arg(r->query, "start-after", tok, sizeof tok) && tok[0]) page = (key_no(tok) + 1) / PAGE;
  } else if (arg(r->query, "marker", tok, sizeof tok) && tok[0]) page = (key_no(tok) + 1) / PAGE;
  int any = pre[0] == 0 || !strncmp(pre, "list", 4);
  int trunc = any && page < NPAGES - 1;
  char *b = malloc(page_len[0] * 2 + 8192); size_t n = 0;
  n += sprintf(b + n, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bench</Name><Prefix>%s</Prefix><MaxKeys>1000</MaxKeys><IsTruncated>%s</IsTruncated>", pre, trunc ? "true" : "false");
  if (v2) n += sprintf(b + n, "<KeyCount>%d</KeyCount>", any ? PAGE : 0);
  if (trunc) { if (v2) n += sprintf(b + n, "<NextContinuationToken>p%d</NextContinuationToken>", page + 1); else n += sprintf(b + n, "<NextMarker>list/%08d.bin</NextMarker>", (page + 1) * PAGE - 1); }
  if (any && page < NPAGES) { memcpy(b + n, page_body[page], page_len[page]); n += page_len[page]; }
  n += sprintf(b + n, "</ListBucketResult>");
  int rc = resp(c, r, "200 OK", NULL, "application/xml", b, n); free(b); return rc;
}
static int gcs_list(struct conn *c, struct req *r) {
  char tok[256]; int page = 0; char pre[256]; arg(r->query, "prefix", pre, sizeof pre);
  if (arg(r->query, "pageToken", tok, sizeof tok) && tok[0]) page = atoi(tok + 1);
  char *b = malloc(PAGE * 700 + 4096); size_t n = 0;
  n += sprintf(b, "{\"kind\":\"storage#objects\",");
  if (strncmp(pre, "new", 3)) {
  if (page < NPAGES - 1) n += sprintf(b + n, "\"nextPageToken\":\"p%d\",", page + 1);
  n += sprintf(b + n, "\"items\":[");
  for (int i = 0; i < PAGE; i++)
    n += sprintf(b + n, "%s{\"kind\":\"storage#object\",\"id\":\"bench/list/%08d.bin/1\",\"selfLink\":\"https://www.googleapis.com/storage/v1/b/bench/o/list%%2F%08d.bin\",\"name\":\"list/%08d.bin\",\"bucket\":\"bench\",\"generation\":\"1\",\"metageneration\":\"1\",\"contentType\":\"application/octet-stream\",\"storageClass\":\"STANDARD\",\"size\":\"4096\",\"md5Hash\":\"1B2M2Y8AsgTpgAmY7PhCfg==\",\"crc32c\":\"AAAAAA==\",\"etag\":\"CAE=\",\"timeCreated\":\"2026-11-23T10:00:00.000Z\",\"updated\":\"2026-11-23T10:00:00.000Z\"}", i ? "," : "", page * PAGE + i, page * PAGE + i, page * PAGE + i);
  n += sprintf(b + n, "]");
  } else n += sprintf(b + n, "\"items\":[]");
  n += sprintf(b + n, "}");
  int rc = resp(c, r, "200 OK", NULL, "application/json", b, n); free(b); return rc;
}
static int az_list(struct conn *c, struct req *r) {
  char tok[256]; int page = 0;
  if (arg(r->query, "marker", tok, sizeof tok) && tok[0]) page = atoi(tok + 1);
  char *b = malloc(PAGE * 900 + 4096); size_t n = 0;
  n += sprintf(b, "<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ServiceEndpoint=\"http://127.0.0.1/\" ContainerName=\"bench\"><Prefix>list/</Prefix><MaxResults>1000</MaxResults><Blobs>");
  for (int i = 0; i < PAGE; i++)
    n += sprintf(b + n, "<Blob><Name>list/%08d.bin</Name><Properties><Creation-Time>" LM "</Creation-Time><Last-Modified>" LM "</Last-Modified><Etag>0x8D</Etag><Content-Length>4096</Content-Length><Content-Type>application/octet-stream</Content-Type><Content-MD5>1B2M2Y8AsgTpgAmY7PhCfg==</Content-MD5><BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier><AccessTierInferred>true</AccessTierInferred><LeaseStatus>unlocked</LeaseStatus><LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted></Properties></Blob>", page * PAGE + i);
  n += sprintf(b + n, "</Blobs>");
  if (page < NPAGES - 1) n += sprintf(b + n, "<NextMarker>p%d</NextMarker>", page + 1); else n += sprintf(b + n, "<NextMarker/>");
  n += sprintf(b + n, "</EnumerationResults>");
  int rc = resp(c, r, "200 OK", NULL, "application/xml", b, n); free(b); return rc;
}
static int gcs_obj_json(struct conn *c, struct req *r, const char *key, const char *status) {
  struct file *f = file_for(key); char b[1500];
  snprintf(b, sizeof b, "{\"kind\":\"storage#object\",\"id\":\"bench/%s/1\",\"name\":\"%s\",\"bucket\":\"bench\",\"generation\":\"1\",\"metageneration\":\"1\",\"contentType\":\"application/octet-stream\",\"storageClass\":\"STANDARD\",\"size\":\"%ld\",\"crc32c\":\"%s\",\"etag\":\"CAE=\",\"timeCreated\":\"2026-11-23T10:00:00.000Z\",\"updated\":\"2026-11-23T10:00:00.000Z\",\"mediaLink\":\"http://127.0.0.1/download/storage/v1/b/bench/o/%s?alt=media\"}", key, key, f->size, f->crc32c, key);
  return respz(c, r, status, "ETag: CAE=\r\n", "application/json; charset=UTF-8", b);
}
static int body_in(struct conn *c, struct req *r) {
  if (r->expect && wrc(c, "HTTP/1.1 100 Continue\r\n\r\n", 25, 0)) return -1;
  if (r->chunked) return discard_chunked(c);
  if (r->clen > 0) return discard(c, r->clen);
  return 0;
}
static int not_found(struct conn *c, struct req *r) {
  return respz(c, r, "404 Not Found", "x-ms-error-code: BlobNotFound\r\n", "application/xml", "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message><Key>k</Key><RequestId>1</RequestId><HostId>1</HostId></Error>");
}
static int handle(struct conn *c, struct req *r) {
  char t[1024], key[4096]; int put = !strcmp(r->method, "PUT"), post = !strcmp(r->method, "POST"), get = !strcmp(r->method, "GET"), head = !strcmp(r->method, "HEAD"), del = !strcmp(r->method, "DELETE");
  if (body_in(c, r)) return -1;
  /* ---- GCS JSON ---- */
  if (strstr(r->path, "/storage/v1/b")) {
    int upload = strstr(r->path, "upload/storage") != NULL;
    char *k = strstr(r->path, "/o/"); snprintf(key, sizeof key, "%s", k ? k + 3 : ""); unq(key);
    if (upload && put) {
      long a, b, tot;
      arg(r->query, "name", t, sizeof t);
      if (sscanf(r->crange, "bytes %ld-%ld/%ld", &a, &b, &tot) == 3 ? b < tot - 1 : (sscanf(r->crange, "bytes %ld-%ld/*", &a, &b) == 2)) {
        char h[128]; snprintf(h, sizeof h, "Range: bytes=0-%ld\r\n", b); return resp(c, r, "308 Resume Incomplete", h, NULL, NULL, 0);
      }
      const char *sl = strrchr(r->crange, '/'); tot = sl && isdigit(sl[1]) ? atol(sl + 1) : r->clen;
      for (int i = 0; i < 3; i++) if (files[i].size == tot) strcpy(t, files[i].tag);
      return gcs_obj_json(c, r, t, "200 OK");
    }
    if (upload) {
      arg(r->query, "uploadType", t, sizeof t);
      if (!strcmp(t, "resumable")) { char h[512], nm[200]; arg(r->query, "name", nm, sizeof nm); snprintf(h, sizeof h, "Location: http://127.0.0.1:9100/upload/storage/v1/b/bench/o?uploadType=resumable&upload_id=U1&name=%s\r\n", nm[0] ? nm : "1g"); return resp(c, r, "200 OK", h, NULL, NULL, 0); }
      arg(r->query, "name", t, sizeof t); return gcs_obj_json(c, r, t[0] ? t : "4k", "200 OK");
    }
    if (get && k) { if (!strncmp(key, "new/", 4)) return respz(c, r, "404 Not Found", NULL, "application/json", "{\"error\":{\"code\":404,\"message\":\"No such object\"}}");
      arg(r->query, "alt", t, sizeof t); return strcmp(t, "media") ? gcs_obj_json(c, r, key, "200 OK") : send_obj(c, r, key, 0); }
    if (get && strstr(r->path, "/o")) return gcs_list(c, r);
    if (get) return respz(c, r, "200 OK", NULL, "application/json", "{\"kind\":\"storage#bucket\",\"id\":\"bench\",\"name\":\"bench\",\"location\":\"US\",\"storageClass\":\"STANDARD\"}");
    if (del) return resp(c, r, "204 No Content", NULL, NULL, NULL, 0);
    return respz(c, r, "200 OK", NULL, "application/json", "{}");
  }
  /* ---- Azure ---- */
  if (!strncmp(r->path, "/devstoreaccount1", 17)) {
    char *p = r->path + 17; if (*p == '/') p++; char *k = strchr(p, '/'); snprintf(key, sizeof key, "%s", k ? k + 1 : ""); unq(key);
    if (put) return resp(c, r, "201 Created", "ETag: \"0x8DC\"\r\nLast-Modified: " LM "\r\nx-ms-request-server-encrypted: true\r\n", NULL, NULL, 0);
    arg(r->query, "comp", t, sizeof t);
    if (get && !strcmp(t, "list")) return az_list(c, r);
    if (!key[0]) return resp(c, r, "200 OK", "ETag: \"0x8DC\"\r\nLast-Modified: " LM "\r\n", NULL, NULL, 0);
    if (!strncmp(key, "new/", 4) && (get || head)) return not_found(c, r);
    if (get || head) return send_obj(c, r, key, 1);
    if (del) return resp(c, r, "202 Accepted", NULL, NULL, NULL, 0);
    return resp(c, r, "200 OK", NULL, NULL, NULL, 0);
  }
  /* ---- S3 / GCS XML: /bucket/key ---- */
  char *k = strchr(r->path + 1, '/'); snprintf(key, sizeof key, "%s", k ? k + 1 : ""); unq(key);
  if (put) {
    if (r->copysrc[0]) return respz(c, r, "200 OK", NULL, "application/xml", "<CopyObjectResult><LastModified>2026-11-23T10:00:00.000Z</LastModified><ETag>" "&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag></CopyObjectResult>");
    char h[512]; snprintf(h, sizeof h, "ETag: " ETAG "\r\n%s%s%s", r->ghash[0] ? "x-goog-hash: " : "", r->ghash, r->ghash[0] ? "\r\n" : "");
    return resp(c, r, "200 OK", h, NULL, NULL, 0);
  }
  if (post) {
    if (arg(r->query, "uploads", t, sizeof t)) return respz(c, r, "200 OK", NULL, "application/xml", "<?xml version=\"1.0\" encoding=\"UTF-8\"?><InitiateMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Bucket>bench</Bucket><Key>k</Key><UploadId>UPLOADID1</UploadId></InitiateMultipartUploadResult>");
    if (arg(r->query, "uploadId", t, sizeof t)) return respz(c, r, "200 OK", NULL, "application/xml", "<?xml version=\"1.0\" encoding=\"UTF-8\"?><CompleteMultipartUploadResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Location>http://127.0.0.1/bench/k</Location><Bucket>bench</Bucket><Key>k</Key><ETag>&quot;d41d8cd98f00b204e9800998ecf8427e-2&quot;</ETag></CompleteMultipartUploadResult>");
    return respz(c, r, "200 OK", NULL, "application/xml", "<DeleteResult/>");
  }
  if (!key[0]) {
    if (arg(r->query, "location", t, sizeof t)) return respz(c, r, "200 OK", NULL, "application/xml", "<?xml version=\"1.0\" encoding=\"UTF-8\"?><LocationConstraint xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"></LocationConstraint>");
    if (r->path[1] == 0) return respz(c, r, "200 OK", NULL, "application/xml", "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListAllMyBucketsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Owner><ID>1</ID></Owner><Buckets><Bucket><Name>bench</Name><CreationDate>2026-11-23T10:00:00.000Z</CreationDate></Bucket></Buckets></ListAllMyBucketsResult>");
    if (head) return resp(c, r, "200 OK", "x-amz-bucket-region: us-east-1\r\n", NULL, NULL, 0);
    if (get) return s3_list(c, r, arg(r->query, "list-type", t, sizeof t));
  }
  if (del) return resp(c, r, "204 No Content", NULL, NULL, NULL, 0);
  if ((!strncmp(key, "new/", 4) || !strcmp(key, "list") || !strcmp(key, "list/")) && (get || head)) return not_found(c, r);
  return send_obj(c, r, key, 0);
}
static void *serve(void *p) {
  struct conn *c = p; int one = 1; setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  c->n = 0;
  if (c->ssl) { SSL_set_fd(c->ssl, c->fd); if (SSL_accept(c->ssl) <= 0) goto out; }
  for (;;) {
    char *e; struct req r; memset(&r, 0, sizeof r); r.clen = 0;
    c->buf[c->n] = 0;
    while (!(e = memmem(c->buf, c->n, "\r\n\r\n", 4))) if (fill(c)) goto out;
    size_t hl = e + 4 - c->buf; e[2] = 0;
    char *line = c->buf, *nl = strstr(line, "\r\n"); *nl = 0;
    char uri[8192]; if (sscanf(line, "%15s %8191s", r.method, uri) != 2) goto out;
    char *u = uri; if (!strncmp(u, "http://", 7)) { u = strchr(u + 7, '/'); if (!u) goto out; }
    if (log_on) fprintf(stderr, "%s %s\n", r.method, u);
    char *q = strchr(u, '?'); if (q) { *q = 0; snprintf(r.query, sizeof r.query, "%s", q + 1); }
    snprintf(r.path, sizeof r.path, "%s", u);
    for (line = nl + 2; *line; line = nl + 2) {
      nl = strstr(line, "\r\n"); if (!nl) break; *nl = 0;
      char *v = strchr(line, ':'); if (!v) continue; *v++ = 0; while (*v == ' ') v++;
      if (log_on > 1) fprintf(stderr, "   %s: %s\n", line, v);
      switch (tolower(line[0])) {
        case 'c': if (!strcasecmp(line, "content-length")) r.clen = atol(v); else if (!strcasecmp(line, "connection")) r.close = !strcasecmp(v, "close"); else if (!strcasecmp(line, "content-range")) snprintf(r.crange, sizeof r.crange, "%s", v); break;
        case 't': if (!strcasecmp(line, "transfer-encoding")) r.chunked = strcasestr(v, "chunked") != NULL; break;
        case 'e': if (!strcasecmp(line, "expect")) r.expect = 1; break;
        case 'r': if (!strcasecmp(line, "range")) parse_range(&r, v); break;
        case 'x': if (!strcasecmp(line, "x-goog-hash")) snprintf(r.ghash, sizeof r.ghash, "%s", v); else if (!strcasecmp(line, "x-ms-range")) parse_range(&r, v); else if (!strcasecmp(line, "x-amz-copy-source")) r.copysrc[0] = '1'; else if (!strcasecmp(line, "x-amz-checksum-mode")) r.checksum_mode = 1; break;
      }
    }
    memmove(c->buf, c->buf + hl, c->n - hl); c->n -= hl;
    if (handle(c, &r)) goto out;
    if (r.close) goto out;
  }
out:
  if (c->ssl) SSL_free(c->ssl);
  close(c->fd); free(c->big); free(c); return NULL;
}
static void *acceptor(void *p) {
  int port = (int)(intptr_t)p, tls = port < 0; if (tls) port = -port;
  int s = socket(AF_INET, SOCK_STREAM, 0), one = 1; setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(s, (void *)&a, sizeof a) || listen(s, 1024)) { perror("bind"); exit(1); }
  fprintf(stderr, "sink on 127.0.0.1:%d%s\n", port, tls ? " (TLS)" : "");
  pthread_attr_t at; pthread_attr_init(&at); pthread_attr_setdetachstate(&at, PTHREAD_CREATE_DETACHED); pthread_attr_setstacksize(&at, 512 << 10);
  for (;;) { int fd = accept(s, NULL, NULL); if (fd < 0) continue; struct conn *c = calloc(1, sizeof *c); c->fd = fd; if (tls) c->ssl = SSL_new(sctx); pthread_t t; if (pthread_create(&t, &at, serve, c)) { close(fd); free(c); } }
  return NULL;
}
int main(int ac, char **av) {
  signal(SIGPIPE, SIG_IGN);
  alarm(3600);
#ifdef __linux__
  prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
  int port = atoi(av[1]); datadir = av[2];
  if (getenv("SINK_LOG")) log_on = atoi(getenv("SINK_LOG"));
  for (int i = 0; i < 3; i++) {
    char p[4096]; snprintf(p, sizeof p, "%s/%s", datadir, files[i].name);
    files[i].fd = open(p, O_RDONLY); struct stat st; if (files[i].fd < 0 || fstat(files[i].fd, &st)) { perror(p); return 1; } files[i].size = st.st_size; files[i].map = mmap(NULL, st.st_size, PROT_READ, MAP_SHARED, files[i].fd, 0);
    unsigned long crc = crc32(0, NULL, 0); unsigned char *b = malloc(1 << 20); ssize_t r; off_t o = 0;
    while ((r = pread(files[i].fd, b, 1 << 20, o)) > 0) { crc = crc32(crc, b, r); o += r; }
    unsigned char be[4] = {crc >> 24, crc >> 16, crc >> 8, crc}; b64(be, 4, files[i].crc32_b64); free(b);
    if (ac > 3 + i) files[i].crc32c = av[3 + i];
  }
  for (int p = 0; p < NPAGES; p++) {
    char *b = malloc(PAGE * 400); size_t n = 0;
    for (int i = 0; i < PAGE; i++) n += sprintf(b + n, "<Contents><Key>list/%08d.bin</Key><LastModified>2026-11-23T10:00:00.000Z</LastModified><ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><ChecksumAlgorithm>CRC64NVME</ChecksumAlgorithm><ChecksumType>FULL_OBJECT</ChecksumType><Size>4096</Size><StorageClass>STANDARD</StorageClass></Contents>", p * PAGE + i);
    page_body[p] = b; page_len[p] = n;
  }
  if (getenv("SINK_TLS_PORT")) { /* SINK_CERT: PEM with key + cert */
    sctx = SSL_CTX_new(TLS_server_method()); const char *pem = getenv("SINK_CERT");
    if (SSL_CTX_use_certificate_chain_file(sctx, pem) != 1 || SSL_CTX_use_PrivateKey_file(sctx, pem, SSL_FILETYPE_PEM) != 1) { fprintf(stderr, "bad cert\n"); return 1; }
    pthread_t t; pthread_create(&t, NULL, acceptor, (void *)(intptr_t)-atoi(getenv("SINK_TLS_PORT")));
  }
  acceptor((void *)(intptr_t)port);
}
