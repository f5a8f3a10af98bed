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
    public static BatchSource Open(IImageDataset data, DeviceHandle device, BatchOrder order, Loss? loss = null) =>
        data is ImageDataset inMemory
            ? new DeviceBatchSource(inMemory, device, order, loss is TargetLoss)
            : new PulledBatchSource(data, order);

    /// <summary>Begins a pass over the order's current epoch.</summary>
    public abstract void Start();

    /// <summary>The next batch of the pass; false after the last.</summary>
    public abstract bool MoveNext(out MnBatch batch);

    public abstract void Dispose();
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
        _targets = targets
            ? GC.AllocateUninitializedArray<float>(checked(order.BatchSize * data.TargetLength), pinned: true)
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

    public override bool MoveNext(out MnBatch batch)
    {
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

    public override void Dispose()
    {
        _dataset.Dispose();
        _indices.Dispose();
    }
}

/// <summary>
/// Batches of a data set that must be read: one thread reads the next batch into one buffer while the step works on the
/// other. The buffers are made once.
/// </summary>
internal sealed unsafe class PulledBatchSource : BatchSource
{
    private const int BufferCount = 2;

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
            _pixels[i] = GC.AllocateUninitializedArray<float>(checked(order.BatchSize * _imageLength), pinned: true);
            _labels[i] = GC.AllocateUninitializedArray<int>(order.BatchSize, pinned: true);
        }
    }

    public override void Start()
    {
        EndPass();
        _next = 0;
        _free.Release(BufferCount);
        _reader = Task.Factory.StartNew(
            ReadPass, CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    public override bool MoveNext(out MnBatch batch)
    {
        batch = default;
        if (_next == Order.BatchCount)
        {
            return false;
        }

        if (_next > 0)
        {
            _free.Release();
        }

        _filled.Wait();
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

    public override void Dispose()
    {
        EndPass();
        _free.Dispose();
        _filled.Dispose();
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

    /// <summary>Ends a pass that may be under way: no read is running afterwards, and the semaphores are at zero.</summary>
    private void EndPass()
    {
        _stop = true;
        _free.Release(BufferCount);
        _reader.Wait();
        _stop = false;
        _failedBatch = -1;
        Drain(_free);
        Drain(_filled);
    }

    private static void Drain(SemaphoreSlim semaphore)
    {
        while (semaphore.Wait(0))
        {
        }
    }
}
