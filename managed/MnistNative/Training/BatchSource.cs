using System.Buffers;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using MnistNative.Interop;

namespace MnistNative;

/// <summary>
/// Gives the batches of a data set in the order of a <see cref="BatchOrder"/>, as the native library takes them. A batch
/// is valid until the next is asked for.
/// </summary>
internal abstract unsafe class BatchSource : IDisposable
{
    private protected BatchSource(BatchOrder order) => Order = order;

    /// <summary>Which images, in which order.</summary>
    protected BatchOrder Order { get; }

    /// <summary>
    /// Data in memory is lent to the device once; other data is read batch by batch. Targets come with the batches if the
    /// loss compares with them.
    /// </summary>
    public static BatchSource Open(IImageDataset data, DeviceHandle device, BatchOrder order, Loss? loss = null)
    {
        CheckBatch(order, data.Shape.Length, "images");
        return data is ImageDataset inMemory
            ? new DeviceBatchSource(inMemory, device, order, loss is TargetLoss)
            : new PulledBatchSource(data, order);
    }

    /// <summary>Begins a pass over the order's current epoch.</summary>
    public abstract void Start();

    /// <summary>The next batch of the pass; false after the last.</summary>
    /// <exception cref="OperationCanceledException">It was cancelled while it waited for the data.</exception>
    public abstract bool MoveNext(out MnBatch batch, CancellationToken cancellation = default);

    /// <summary>Copies the images of the current batch, as floats.</summary>
    public abstract void CopyImages(Span<float> images);

    /// <summary>Copies the labels of the current batch.</summary>
    public abstract void CopyLabels(Span<int> labels);

    public abstract void Dispose();

    /// <summary>Throws if a batch has more values than an array can hold.</summary>
    private protected static void CheckBatch(BatchOrder order, int length, string what)
    {
        if ((long)order.LargestBatch * length > Array.MaxLength)
        {
            throw new ArgumentException(
                $"A batch of {order.LargestBatch} {what} of {length} values has {(long)order.LargestBatch * length}, more than the "
                + $"{Array.MaxLength} of an array: take a smaller BatchSize.",
                nameof(order.BatchSize));
        }
    }
}

/// <summary>Batches of a data set that the device holds: indices, and targets if they are wanted.</summary>
internal sealed unsafe class DeviceBatchSource : BatchSource
{
    private readonly ImageDataset _data;
    private readonly DatasetHandle _dataset;
    private readonly ulong _value;
    private readonly float[] _targets;
    private MemoryHandle _indices;
    private int _next;

    public DeviceBatchSource(ImageDataset data, DeviceHandle device, BatchOrder order, bool targets)
        : base(order)
    {
        _data = data;
        CheckBatch(order, targets ? data.TargetLength : 0, "targets");
        _targets = targets
            ? GC.AllocateUninitializedArray<float>(order.LargestBatch * data.TargetLength, pinned: true)
            : [];
        _dataset = DatasetHandle.Create(device, data);
        using (NativeHandle.Lease lease = _dataset.Use())
        {
            _value = lease.Value;
        }

        // Batches follow one another in the order's memory, so it is fixed once, not in every step.
        _indices = order.GetBatchMemory(0).Pin();
    }

    public override void Start() => _next = 0;

    public override bool MoveNext(out MnBatch batch, CancellationToken cancellation = default)
    {
        cancellation.ThrowIfCancellationRequested();
        if (_next == Order.BatchCount)
        {
            batch = default;
            return false;
        }

        int* indices = (int*)_indices.Pointer + ((long)_next * Order.BatchSize);
        ReadOnlySpan<int> images = Order.GetBatch(_next);
        batch = NativeBatch.Of(_value, indices, images.Length);
        if (_targets.Length > 0)
        {
            _data.ReadTargets(images, _targets);
            batch.Targets = (float*)Marshal.UnsafeAddrOfPinnedArrayElement(_targets, 0);
            batch.TargetCount = (ulong)images.Length * (ulong)_data.TargetLength;
        }

        _next++;
        return true;
    }

    public override void CopyImages(Span<float> images)
    {
        ReadOnlySpan<int> indices = Order.GetBatch(_next - 1);
        _data.Read(indices, images, new int[indices.Length]);
    }

    public override void CopyLabels(Span<int> labels)
    {
        ReadOnlySpan<int> indices = Order.GetBatch(_next - 1);
        ReadOnlySpan<int> all = _data.Labels.Span;
        for (int i = 0; i < indices.Length; i++)
        {
            labels[i] = all[indices[i]];
        }
    }

    public override void Dispose()
    {
        _dataset.Dispose();
        _indices.Dispose();
    }
}

/// <summary>
/// Batches of a data set that must be read: one thread reads the next batch into one buffer while the step works on the
/// other. The buffers are made once. A read that does not end in time when the pass is broken off is left alone: its thread
/// ends with it and keeps the buffers, which nothing else uses any more.
/// </summary>
internal sealed unsafe class PulledBatchSource : BatchSource
{
    private const int BufferCount = 2;

    // How long a read that nobody waits for any more may take before it is left alone.
    private static readonly TimeSpan s_patience = TimeSpan.FromMilliseconds(250);

    private readonly IImageDataset _data;
    private readonly int _imageLength;
    private readonly float[][] _pixels = new float[BufferCount][];
    private readonly int[][] _labels = new int[BufferCount][];
    private readonly SemaphoreSlim _free = new(0);
    private readonly SemaphoreSlim _filled = new(0);
    private Task _reader = Task.CompletedTask;
    private ExceptionDispatchInfo? _failure;
    private volatile int _failedBatch = -1;
    private volatile bool _stop;
    private int _next;

    public PulledBatchSource(IImageDataset data, BatchOrder order)
        : base(order)
    {
        _data = data;
        _imageLength = data.Shape.Length;
        for (int i = 0; i < BufferCount; i++)
        {
            _pixels[i] = GC.AllocateUninitializedArray<float>(order.LargestBatch * _imageLength, pinned: true);
            _labels[i] = GC.AllocateUninitializedArray<int>(order.LargestBatch, pinned: true);
        }
    }

    public override void Start()
    {
        EndPass(Timeout.InfiniteTimeSpan);
        _next = 0;
        _free.Release(BufferCount);
        _reader = Task.Factory.StartNew(
            ReadPass, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    public override bool MoveNext(out MnBatch batch, CancellationToken cancellation = default)
    {
        batch = default;
        cancellation.ThrowIfCancellationRequested();
        if (_next == Order.BatchCount)
        {
            return false;
        }

        if (_next > 0)
        {
            _free.Release();
        }

        _filled.Wait(cancellation);
        if (_next == _failedBatch)
        {
            _failure!.Throw();
        }

        int buffer = _next % BufferCount;
        batch = NativeBatch.Of(
            Pointer(_pixels[buffer]), Order.GetBatch(_next).Length, _imageLength, Pointer(_labels[buffer]));
        _next++;
        return true;
    }

    public override void CopyImages(Span<float> images)
    {
        int batch = _next - 1;
        _pixels[batch % BufferCount].AsSpan(0, Order.GetBatch(batch).Length * _imageLength).CopyTo(images);
    }

    public override void CopyLabels(Span<int> labels)
    {
        int batch = _next - 1;
        _labels[batch % BufferCount].AsSpan(0, Order.GetBatch(batch).Length).CopyTo(labels);
    }

    public override void Dispose()
    {
        if (EndPass(s_patience))
        {
            _free.Dispose();
            _filled.Dispose();
        }
    }

    private static T* Pointer<T>(T[] pinned)
        where T : unmanaged => (T*)Marshal.UnsafeAddrOfPinnedArrayElement(pinned, 0);

    private void ReadPass()
    {
        for (int i = 0; i < Order.BatchCount; i++)
        {
            _free.Wait();
            if (_stop)
            {
                return;
            }

            ReadOnlySpan<int> indices = Order.GetBatch(i);
            try
            {
                _data.Read(
                    indices,
                    _pixels[i % BufferCount].AsSpan(0, indices.Length * _imageLength),
                    _labels[i % BufferCount].AsSpan(0, indices.Length));
            }
            catch (Exception e)
            {
                _failure = ExceptionDispatchInfo.Capture(e);
                _failedBatch = i;
                _filled.Release();
                return;
            }

            _filled.Release();
        }
    }

    /// <summary>
    /// Ends a pass that may be under way. If true, no read is running afterwards, and the semaphores are at zero; if false,
    /// one is, and this object is not to be used any more.
    /// </summary>
    private bool EndPass(TimeSpan patience)
    {
        _stop = true;
        _free.Release(BufferCount);
        if (!_reader.Wait(patience))
        {
            return false;
        }

        _stop = false;
        _failedBatch = -1;
        Drain(_free);
        Drain(_filled);
        return true;
    }

    private static void Drain(SemaphoreSlim semaphore)
    {
        while (semaphore.Wait(0))
        {
        }
    }
}
